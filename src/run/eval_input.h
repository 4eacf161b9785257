#pragma once
// What `vmae eval` compares: models (folders of predictions, tables of scores, runs) and the truth.
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "vmae/eval/classification_study.h"
#include "vmae/eval/segmentation_study.h"
#include "vmae/io/source.h"
#include "vmae/run/evaluate.h"

namespace vmae::run {

struct EvalModel {
  std::string name;
  std::filesystem::path predictions;     // a folder, or a CSV
  std::vector<std::string> class_names;  // of predict.json; empty: there is none
  std::set<std::string> failed;          // cases that could not be predicted
  // Of runs:
  std::filesystem::path run;
  std::string config_yaml, splits_text, versions, trained_from;  // trained_from: the weights it began with, "" from scratch
  std::string truth;                                             // data.train or data.test
  std::optional<std::set<std::string>> test_files;               // of the truth; none: all
  int64_t label_fraction = -1;                                   // percent; -1: not known
  int64_t ignore_label = -1;
  std::string slice_axis = "auto";
};

// Across which axis a case is shown, and cut into slices: as a run was trained, else the axis of acquisition.
int eval_axis(const std::vector<EvalModel>& models, const std::array<int64_t, 3>& size, const std::array<double, 3>& spacing_mm);

// Reads predict.json and, of a run, its config and splits.
EvalModel open_predictions(const std::filesystem::path& path);
EvalModel open_run(const std::filesystem::path& run, const std::string& part);
bool is_classification(const EvalModel& model);  // a CSV, or a folder with cases.csv

// A case of the truth. label_map: a file by itself; else `file` has the image and its mask or labels.
struct TruthCase {
  std::string name, patient;
  std::filesystem::path label_map;
  io::SourceFile file;
};
struct Truth {
  std::vector<TruthCase> cases;          // by name
  bool has_patients = false;             // some patient has another name than its case
  std::vector<std::string> mask_names;   // of mask values 1, 2, ...; empty: not known
  std::vector<std::string> label_names;  // classes or findings
  bool is_multi_label = false;
  std::vector<std::string> identifying;  // texts that must not become names
};
// test_files: names in the source that count; none: all that have truth. identifying: of the predictions.
Truth open_truth(const std::filesystem::path& path, const std::optional<std::set<std::string>>& test_files, bool is_classification,
                 const std::vector<std::string>& identifying);
void add_images(const std::filesystem::path& path, Truth& truth);  // for pictures: the images of the same names
void read_patients(const std::filesystem::path& csv, Truth& truth);

// Cases that can't be evaluated, and why; thrown together, or warned about.
class Problems {
 public:
  explicit Problems(bool skips) : skips_(skips) {}
  void add(const std::string& name, const std::string& text);  // of one case all texts make one problem
  bool empty() const { return problems_.empty(); }
  std::vector<std::string> all() const;
  void raise() const;  // throws Error(data) unless skips; then warns

 private:
  bool skips_;
  std::vector<std::pair<std::string, std::string>> problems_;
  std::map<std::string, size_t> index_;
};

// Label maps below a folder by their names (path without ending; hashed where they identify a patient), without probabilities.
std::map<std::string, std::filesystem::path> list_label_maps(const std::filesystem::path& folder, const std::vector<std::string>& identifying);
// Texts of the DICOM files below a folder that identify patients.
std::vector<std::string> identifying_texts_in(const std::filesystem::path& folder);
// The name under which each name of `truth` is among `found`: itself; or, if no name is in both, what has the same last part, where that is of one name only
// on either side (the log says so, and warns of the others). whose: `found`, for the log.
std::map<std::string, std::string> match_names(const std::vector<std::string>& truth, const std::vector<std::string>& found, const std::string& whose);

// A case that is shown in the report: which, and where to find it again.
struct SegmentationCase {
  TruthCase truth;
  std::vector<std::filesystem::path> predictions;  // of each model
};
struct SegmentationInput {
  eval::SegmentationStudy study;
  std::vector<SegmentationCase> cases;  // of study.cases; by slices: the case of each
  std::vector<int64_t> slices;          // by slices: the number of each, else empty
};
SegmentationInput score_segmentations(const EvalArguments& arguments, const std::vector<EvalModel>& models, const Truth& truth, Problems& problems);
// Both label maps of a case on the truth's grid, with labels as in the study; and the image, if there is one. model: of SegmentationCase::predictions.
struct SegmentationPair {
  std::array<int64_t, 3> size{};
  std::array<double, 3> spacing_mm{1, 1, 1};
  std::vector<uint8_t> truth, prediction;
};
SegmentationPair read_pair(const SegmentationCase& one, size_t model, const std::vector<std::string>& classes, int64_t ignore_label);

eval::ClassificationStudy read_classifications(const EvalArguments& arguments, const std::vector<EvalModel>& models, const std::optional<Truth>& truth,
                                               Problems& problems);

}  // namespace vmae::run
