// Predictions and masks are brought to the same numbers: classes 1, 2, ..., or, of regions, the numbers that they are
// made of, which the predictions are painted with.
#include "vmae/tasks/postprocessing.h"

#include <algorithm>
#include <map>
#include <set>

#include "vmae/cases/channels.h"
#include "vmae/cases/label_meaning.h"
#include "vmae/cases/read_image.h"
#include "vmae/cases/read_label_map.h"
#include "vmae/cases/time_points.h"
#include "vmae/core/counting.h"
#include "vmae/core/log.h"
#include "vmae/dicom/kinds.h"
#include "vmae/image/file_name.h"
#include "vmae/nnunet/postprocess.h"
#include "vmae/runs/case_voxels.h"
#include "vmae/runs/run_record.h"
#include "vmae/sources/case_names.h"
#include "vmae/sources/source.h"
#include "vmae/splits/splits_file.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

struct TestedCase {
  std::string name;
  io::SourceFile file;
  fs::path prediction;
};

// Files of label maps by the names of their cases.
std::map<std::string, fs::path> predictions_in(const fs::path& folder) {
  const io::Listing listing = io::list_folder(folder);
  std::map<std::string, fs::path> files;
  for (const auto* list : {&listing.pictures, &listing.volumes, &listing.dicom}) {
    for (const fs::path& file : *list)
      files.emplace(io::take_apart(file.lexically_relative(folder).generic_string()).stem, file);
  }
  return files;
}

// What is divided by data.splits.
io::Source divided_source(const SegmentDataOptions& data) {
  const auto path =
      std::find_if(data.train.begin(), data.train.end(), [](const std::string& one) { return !one.empty(); });
  io::Source source = io::find_source(*path, "auto", data.findings);
  std::erase_if(source.files, [](const io::SourceFile& file) { return file.split == "test"; });
  if (data.channels == "single") source.files = io::single_channels(source.files);
  return source;
}

// Of all folds, each with the prediction that bears its name: as the prediction of its fold named it.
std::vector<TestedCase> tested_cases(const io::Source& source, const std::string& splits_file,
                                     const fs::path& predicted) {
  const std::map<std::string, fs::path> predictions = predictions_in(predicted);
  std::vector<TestedCase> cases;
  size_t num_without = 0;
  for (const io::SplitFold& fold : io::read_splits(splits_file).folds) {
    const std::set<std::string> is_tested(fold.test.begin(), fold.test.end());
    std::vector<io::SourceFile> tested, others;
    for (const io::SourceFile& file : source.files) (is_tested.contains(file.name) ? tested : others).push_back(file);
    tested = io::with_time_points(tested);
    const std::vector<std::string> names = io::names_beside(tested, others, source.identifying);
    for (size_t i = 0; i < tested.size(); ++i) {
      const auto prediction = predictions.find(names[i]);
      if (prediction == predictions.end()) {
        ++num_without;
      } else {
        cases.push_back({names[i], tested[i], prediction->second});
      }
    }
  }
  if (num_without > 0)
    log::warning(concat("postprocessing: ", num_without, num_without == 1 ? " test case has" : " test cases have",
                        " no prediction in ", predicted.string()));
  std::sort(cases.begin(), cases.end(), [](const TestedCase& a, const TestedCase& b) { return a.name < b.name; });
  return cases;
}

std::vector<io::SourceFile> files_of(const std::vector<TestedCase>& cases) {
  std::vector<io::SourceFile> files;
  for (const TestedCase& one : cases) files.push_back(one.file);
  return files;
}

// Reads what is compared.
class ComparedMaps {
 public:
  ComparedMaps(const SegmentDataOptions& data, const io::Source& source, const ModelCard& card, bool has_regions,
               const std::vector<TestedCase>& cases)
      : cases_(cases),
        identifying_(source.identifying),
        class_names_(card.class_names),
        label_values_(card.label_values),
        has_regions_(has_regions),
        rules_{.names = has_regions_ ? source.mask_names : class_names_,
               .values = data.label_values,
               .ignore = io::ignored_value(data.ignore_label, source.ignore_label)},
        reader_(files_of(cases), source.mask_names),
        counting_("predictions and masks", std::ssize(cases)) {}

  // Any thread. Of a case that can't be read no voxel.
  nnunet::LabelledCase read(int64_t number) {
    const TestedCase& one = cases_[static_cast<size_t>(number)];
    nnunet::LabelledCase compared;
    try {
      compared = read(one);
    } catch (const Error& error) {
      log::warning(concat("postprocessing: ", one.name, " is left out: ", io::without(error.what(), identifying_)));
    }
    counting_.add();
    return compared;
  }

  // The numbers that label maps are written with.
  nnunet::Postprocessing as_written(nnunet::Postprocessing postprocessing) const {
    for (nnunet::PostprocessingStep& step : postprocessing.steps) {
      for (int64_t& label : step.labels) label = has_regions_ ? label : value_of(label);
    }
    return postprocessing;
  }

 private:
  int64_t value_of(int64_t class_number) const {
    return label_values_.empty() ? class_number : label_values_[static_cast<size_t>(class_number - 1)];
  }

  nnunet::LabelledCase read(const TestedCase& one) const {
    io::SourceFile file = one.file;
    file.channels.clear();  // the mask lies on the first
    CaseImages images = reader_.read(file, /*with_labels=*/true);
    const io::Volume& image = images.volumes.front();
    nnunet::LabelledCase compared{image.size, {}, std::move(images.labels)};
    if (compared.reference.empty()) throw Error(ExitCode::data, "has no mask");
    // What class a value is depends on other masks only where they are 0 and 255 alone, which training has seen to.
    io::LabelFacts facts;
    facts.add(io::count_labels(compared.reference.data(), compared.reference.size()), "its mask");
    io::label_meaning(rules_, facts).apply(compared.reference.data(), compared.reference.size());
    compared.predicted = predicted(file, image, one.prediction);
    if (compared.predicted.size() != compared.reference.size())
      throw Error(ExitCode::data, "prediction and mask are of different sizes");
    return compared;
  }

  std::vector<uint8_t> predicted(io::SourceFile file, const io::Volume& image, const fs::path& prediction) const {
    if (file.prepared_case >= 0) return by_numbers(io::read_label_map(prediction).labels, /*are_values=*/true);
    file.mask = prediction;
    const bool is_dicom = io::is_dicom(prediction);  // it names its segments, which are the classes
    return by_numbers(io::read_mask(file, image, is_dicom ? class_names_ : std::vector<std::string>{}), !is_dicom);
  }

  // are_values: what is written; else 1, 2, ... of the classes.
  std::vector<uint8_t> by_numbers(std::vector<uint8_t> labels, bool are_values) const {
    std::array<uint8_t, 256> number_of{};
    for (size_t i = 1; i <= class_names_.size(); ++i) {
      const auto value = static_cast<uint8_t>(value_of(static_cast<int64_t>(i)));
      number_of[are_values ? value : i] = has_regions_ ? value : static_cast<uint8_t>(i);
    }
    for (uint8_t& label : labels) label = number_of[label];
    return labels;
  }

  const std::vector<TestedCase>& cases_;
  const std::vector<std::string>& identifying_;
  std::vector<std::string> class_names_;
  std::vector<int64_t> label_values_;  // of these, in files; empty: 1, 2, ...
  bool has_regions_;
  io::LabelRules rules_;
  CaseReader reader_;
  Counting counting_;
};

bool is_newer(const fs::path& file, const std::vector<fs::path>& folds) {
  return fs::exists(file) && std::all_of(folds.begin(), folds.end(), [&](const fs::path& fold) {
           const fs::path record = fold / "test" / "predict.json";
           return !fs::exists(record) || fs::last_write_time(file) >= fs::last_write_time(record);
         });
}

}  // namespace

void find_postprocessing_of_folds(const fs::path& run_dir, const SegmentDataOptions& data, const ModelCard& card,
                                  const nnunet::Labels& labels) {
  const fs::path file = run_dir / "postprocessing.json", predicted = run_dir / "out_of_fold";
  if (is_newer(file, open_run_record(run_dir).folders)) return;
  const io::Source source = divided_source(data);
  const std::vector<TestedCase> cases = tested_cases(source, data.splits.file, predicted);
  if (cases.empty())
    throw Error(ExitCode::data, concat(predicted.string(), " holds no prediction of a case that the folds test"),
                "is it whole, and is data.train what it was made of?");
  log::info(concat("postprocessing: ", cases.size(), " out-of-fold predictions are compared with their masks"));
  ComparedMaps maps(data, source, card, labels.has_regions(), cases);
  nnunet::FoundPostprocessing found = nnunet::find_postprocessing(
      std::ssize(cases), [&](int64_t number) { return maps.read(number); }, labels);
  for (const std::string& line : found.report) log::info("postprocessing: " + line);
  found.postprocessing = maps.as_written(std::move(found.postprocessing));
  nnunet::write_postprocessing(file, found, labels);
  nnunet::write_nnunet_postprocessing(run_dir / "postprocessing.pkl", found.postprocessing);
  log::info("postprocessing: " + file.string());
}

}  // namespace vmae::run
