#pragma once
// What `vmae eval` compares: models (folders of predictions, tables of scores, runs) and the truth.
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"
#include "vmae/evaluate/evaluate.h"
#include "vmae/image/image.h"
#include "vmae/metrics/classification_study.h"
#include "vmae/metrics/segmentation_study.h"
#include "vmae/prepared/prepared.h"
#include "vmae/sources/patients.h"
#include "vmae/volume/label_map.h"

namespace vmae::run {

struct EvalModel {
  std::string name;
  std::filesystem::path predictions;     // a folder, or a CSV
  std::vector<std::string> class_names;  // of predict.json; empty: there is none
  std::set<std::string> failed;          // cases that could not be predicted
  // the prepared dataset that was predicted, where it was then; empty: none, or not known
  std::filesystem::path dataset;
  std::string dataset_digest;
  bool has_hashed_names = false;  // all names look like those of such a dataset
  bool may_be_resized = true;     // false: the dataset is there, and has its slices as they were
  bool is_of_dataset() const { return !dataset.empty() || has_hashed_names; }
  // Of runs:
  std::filesystem::path run;
  std::filesystem::path data_card;  // folder; empty: there is none
  // trained_from: the weights it began with, "" from scratch
  std::string config_yaml, splits_text, versions, trained_from;
  // of a run some of whose test or validation images its weights knew: the sentence about it
  std::string seen_before;
  std::string truth;                                // data.train or data.test
  std::vector<std::string> findings;                // data.findings
  std::optional<std::set<std::string>> test_files;  // of the truth; none: all
  int64_t label_fraction = -1;                      // percent; -1: not known
  int64_t ignore_label = -1;
  std::vector<io::LabelRegion> regions;  // as io::Source
  std::vector<int64_t> label_values;     // as data.label_values
  std::string slice_axis = "auto";
};

// Across which axis a case is shown, and cut into slices: as a run was trained, else the axis of acquisition.
int eval_axis(const std::vector<EvalModel>& models, const std::array<int64_t, 3>& size,
              const std::array<double, 3>& spacing_mm);

struct NamesTable;
// Which models predicted a prepared dataset, from their runs and names.
void find_datasets(std::vector<EvalModel>& models);
// The names of a prepared dataset beside those of its source, where predictions bear the ones and the
// truth the others: from the table that was given, or by the salt (the user's own, if none is given).
// Nothing where they can't be had or are not needed. is_label_table: the truth is a table of labels.
// Throws Error(data): the table of another dataset; Error(usage): options that don't go together.
std::optional<NamesTable> names_between(const EvalArguments& arguments, const std::vector<EvalModel>& models,
                                        const std::filesystem::path& truth, bool is_label_table);
// match_names(), or where more match that way, through `names` (may be null).
// Throws Error(data) where predictions bear hashes that nothing explains.
std::map<std::string, std::string> match_predictions(const std::vector<std::string>& truth,
                                                     const std::vector<std::string>& found, const NamesTable* names,
                                                     const std::string& model);

// Reads predict.json and, of a run, its config and splits.
EvalModel open_predictions(const std::filesystem::path& path);
EvalModel open_run(const std::filesystem::path& run, const std::string& part);
bool is_classification(const EvalModel& model);  // a CSV, or a folder with cases.csv

// A prepared dataset whose masks are the truth; shared by its cases.
struct PreparedTruth {
  explicit PreparedTruth(const std::filesystem::path& path);
  io::PreparedDataset dataset;
  // Says that its grid is not that of the files.
  std::string grid_remark(size_t num_resized, size_t num_cases) const;
};

// A case of the truth. label_map: a file by itself; else `file` has
// the image and its mask or labels, or is a case of `prepared`.
struct TruthCase {
  std::string name, patient;
  std::filesystem::path label_map;
  io::SourceFile file;
  std::shared_ptr<const PreparedTruth> prepared{};  // with masks
  int axis = -1;                                    // that slices are perpendicular to; -1: see eval_axis
  bool is_patient_known = false;                    // as io::SourceFile
  // of several that have this one mask (channels of nnU-Net): each by the name that a prediction of it has
  std::map<std::string, io::SourceFile> images{};
};
// Its labels as they are, in a prepared dataset or a file by itself; not of DICOM series, whose masks need them.
io::LabelMap truth_map(const TruthCase& one);
io::Volume image_of(const TruthCase& one);

struct Truth {
  std::vector<TruthCase> cases;          // by name
  std::vector<std::string> mask_names;   // of mask values 1, 2, ...; empty: not known
  int64_t ignore_label = -1;             // as io::Source
  std::vector<io::LabelRegion> regions;  // as io::Source
  std::vector<std::string> label_names;  // classes or findings
  bool is_multi_label = false;
  std::vector<std::string> identifying;  // texts that must not become names
  std::vector<std::string> remarks;      // what a reader of the report must know
};
// test_files: names in the source that count; none: all that have truth. identifying: of the predictions.
// names: test_files may also be the dataset's; then each channel and time point is a case of its own, as there.
// findings: as io::find_source().
Truth open_truth(const std::filesystem::path& path, const std::optional<std::set<std::string>>& test_files,
                 bool is_classification, const std::vector<std::string>& findings,
                 const std::vector<std::string>& identifying, const NamesTable* names);
// Cases of which there is no prediction, but one of each channel
// (NAME_0000, ...) or time point (NAME_t0, ...), become a case for each.
void split_as_predicted(const std::set<std::string>& predicted, Truth& truth);
void add_images(const std::filesystem::path& path, Truth& truth);  // for pictures: the images of the same names
void read_patients(const std::filesystem::path& csv, Truth& truth);

// Cases that can't be evaluated, and why; thrown together, or warned about.
class Problems {
 public:
  explicit Problems(bool skips) : skips_(skips) {}
  void add(const std::string& name, const std::string& text);  // of one case all texts make one problem
  // what may mend them; the first that is not empty is said
  void advise(const std::string& hint);
  bool empty() const { return problems_.empty(); }
  std::vector<std::string> all() const;
  void raise() const;  // throws Error(data) unless skips; then warns

 private:
  bool skips_;
  std::string hint_;
  std::vector<std::pair<std::string, std::string>> problems_;
  std::map<std::string, size_t> index_;
};

// Label maps below a folder by their names (path without ending;
// hashed where they identify a patient), without probabilities.
std::map<std::string, std::filesystem::path> list_label_maps(const std::filesystem::path& folder,
                                                             const std::vector<std::string>& identifying);
// Texts of the DICOM files below a folder that identify patients.
std::vector<std::string> identifying_texts_in(const std::filesystem::path& folder);
// The name under which each name of `truth` is among `found`: itself; or, if no name
// is in both, what has the same last part, where that is of one name only on either
// side (the log says so, and warns of the others). whose: `found`, for the log.
std::map<std::string, std::string> match_names(const std::vector<std::string>& truth,
                                               const std::vector<std::string>& found, const std::string& whose);

// A case that is shown in the report: which, and where to find it again.
struct SegmentationCase {
  TruthCase truth;
  std::vector<std::filesystem::path> predictions;  // of each model
  // whether it was made of prepared slices that may have other sizes than the files'
  std::vector<bool> of_dataset;
};
// The label maps of a case on one grid, with labels as in the study.
struct SegmentationMaps {
  std::array<int64_t, 3> size{};
  std::array<double, 3> spacing_mm{1, 1, 1};
  std::vector<uint8_t> truth;
  std::vector<std::vector<uint8_t>> predictions;  // of each model
};
struct Sides;  // what numbers mean in the truth, and in the predictions of each model
struct SegmentationInput {
  metrics::SegmentationStudy study;
  int64_t ignore_label = -1;  // value of the truth where nothing is judged
  std::shared_ptr<const Sides> sides;
  std::vector<SegmentationCase> cases;              // of study.cases; by slices: the case of each
  std::vector<int64_t> slices;                      // by slices: the number of each, else empty
  std::vector<std::string> remarks;                 // as Truth::remarks
  SegmentationMaps read_maps(size_t number) const;  // of `cases`
};
SegmentationInput score_segmentations(const EvalArguments& arguments, const std::vector<EvalModel>& models,
                                      const Truth& truth, const NamesTable* names, Problems& problems);

// patients: those of the study.
metrics::ClassificationStudy read_classifications(const EvalArguments& arguments, const std::vector<EvalModel>& models,
                                                  const std::optional<Truth>& truth, const NamesTable* names,
                                                  Problems& problems, io::PatientCount& patients);

}  // namespace vmae::run
