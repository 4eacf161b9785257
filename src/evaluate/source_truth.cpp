// A case of the truth for each file of a source that has a mask or a label, in the order in which names are given.
#include "source_truth.h"

#include <algorithm>
#include <tuple>

#include "vmae/cases/channels.h"
#include "vmae/cases/time_points.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/core/text.h"
#include "vmae/image/file_name.h"
#include "vmae/image/picture.h"
#include "vmae/prepare/names_table.h"
#include "vmae/prepared/mask.h"
#include "vmae/sources/case_names.h"
#include "vmae/volume/volume.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

// A finding may be unknown; a class is one, or the file has no label.
bool has_label(const io::SourceFile& file, bool is_multi_label) {
  return !file.labels.empty() &&
         (is_multi_label || std::find(file.labels.begin(), file.labels.end(), 1.0F) != file.labels.end());
}

// Every channel as a file of its own, since predictions may be of each. Those of prepared datasets
// only where the run took each by itself. -> by the name of a further channel: that of its case.
std::map<std::string, std::string> take_channels_apart(io::Source& source,
                                                       const std::optional<std::set<std::string>>& test_files) {
  std::map<std::string, std::string> case_of;
  bool is_tested = false;
  for (const io::SourceFile& file : source.files) {
    for (const io::SourceFile& channel : file.channels) {
      case_of[channel.name] = file.name;
      is_tested |= test_files && test_files->contains(channel.name);
    }
  }
  if (source.layout != "prepared" || is_tested) source.files = io::single_channels(source.files);
  return case_of;
}

// Time points that the dataset has as cases of their own.
void split_time_points(std::vector<io::SourceFile>& files, const std::map<std::string, std::string>& in_dataset) {
  std::vector<io::SourceFile> expanded;
  const auto is_in_dataset = [&](const std::string& name) { return in_dataset.contains(name); };
  for (const io::SourceFile& file : files) {
    for (io::SourceFile& one : io::listed_time_points(file, is_in_dataset)) expanded.push_back(std::move(one));
  }
  files = std::move(expanded);
}

// "imagesTr/a/x_0001.nii.gz" -> "imagesTr/a/x_0001", "imagesTr/a/x",
// as its label map may be called; "x.nii.gz#t2" -> "x".
std::vector<std::string> label_names_of(const std::string& test_file) {
  std::vector<std::string> names{io::take_apart(io::without_time_point(test_file)).stem};
  if (const auto found = io::case_and_channel(names[0])) names.push_back(found->first);
  return names;
}

// Under which names, besides its own, a run may list a file of the source.
struct OtherNames {
  std::map<std::string, std::string> of_case;     // of a further channel: that of its case
  std::map<std::string, std::string> in_dataset;  // by the name in the source; empty: no table says
};

bool is_listed(const io::SourceFile& file, const OtherNames& others, const std::set<std::string>& test_files) {
  const auto is_listed_in = [&](const std::map<std::string, std::string>& names) {
    const auto found = names.find(file.name);
    return found != names.end() && test_files.contains(found->second);
  };
  const std::string time = io::time_point_suffix(file.time_point);  // splits.json names files, not their time points
  return test_files.contains(file.name) || is_listed_in(others.of_case) || is_listed_in(others.in_dataset) ||
         (file.name.ends_with(time) && test_files.contains(file.name.substr(0, file.name.size() - time.size())));
}

// The cases, made of one file after the other.
class CasesOfSource {
 public:
  CasesOfSource(const io::Source& source, const fs::path& path, bool is_classification, bool joins_channels)
      : source_(source), is_classification_(is_classification), joins_channels_(joins_channels) {
    truth_.mask_names = source.mask_names;
    truth_.ignore_label = source.ignore_label;
    truth_.regions = source.regions;
    truth_.label_names = source.label_names;
    truth_.is_multi_label = source.is_multi_label;
    for (const io::SourceFile& file : source.files) num_with_mask_[mask_of(file)] += file.series.empty() ? 1 : 0;
    if (source.layout == "prepared" && !is_classification) prepared_ = std::make_shared<const PreparedTruth>(path);
  }

  // Which files are of the test part. None: all of them count.
  std::vector<bool> tested(const std::set<std::string>& test_files, const OtherNames& others) const {
    const auto says_truth = [&](const io::SourceFile& file) { return has_truth(file, std::nullopt); };
    std::vector<bool> is_tested;
    for (const io::SourceFile& file : source_.files) is_tested.push_back(is_listed(file, others, test_files));
    if (std::find(is_tested.begin(), is_tested.end(), true) != is_tested.end() ||
        std::none_of(source_.files.begin(), source_.files.end(), says_truth))
      return is_tested;
    // the same files in other folders
    std::vector<std::string> stems;
    for (const io::SourceFile& file : source_.files) stems.push_back(label_names_of(file.name)[0]);
    return tested_by_name(test_files, stems);
  }

  // Returns whether the file has truth. With that of another case it is one more image of that.
  bool add(const io::SourceFile& file, std::string name) {
    std::optional<io::PreparedCase> slices;
    if (prepared_) slices = prepared_->dataset.read_case(file.prepared_case);
    if (!has_truth(file, slices)) return false;
    std::map<std::string, io::SourceFile> images = prepared_channels(file, name);
    if (shares_mask(file)) {
      const auto [known, is_new] = case_of_mask_.emplace(mask_of(file), truth_.cases.size());
      if (!is_new) {
        truth_.cases[known->second].images.emplace(name, file);
        return true;
      }
      images.emplace(name, file);
      if (name.ends_with("_0000")) name.resize(name.size() - 5);
    }
    num_resized_ += slices && io::is_resized(prepared_->dataset, *slices) ? 1 : 0;
    int axis = io::is_picture(file.path) ? 2 : -1;
    if (slices) axis = slices->axis;
    truth_.cases.push_back({.name = std::move(name),
                            .patient = file.patient,
                            .label_map = {},
                            .file = file,
                            .prepared = prepared_,
                            .axis = axis,
                            .is_patient_known = file.is_patient_known,
                            .images = std::move(images)});
    return true;
  }

  Truth finish() {
    if (num_resized_ > 0) truth_.remarks.push_back(prepared_->grid_remark(num_resized_, truth_.cases.size()));
    return std::move(truth_);
  }

 private:
  using Mask = std::pair<fs::path, int64_t>;  // and its time point
  static Mask mask_of(const io::SourceFile& file) { return {file.mask, file.time_point}; }

  bool has_truth(const io::SourceFile& file, const std::optional<io::PreparedCase>& slices) const {
    if (is_classification_) return has_label(file, source_.is_multi_label);
    return slices ? io::has_mask(prepared_->dataset, *slices) : !file.mask.empty();
  }

  // The channels of a case of a dataset, which may be predicted one by one.
  std::map<std::string, io::SourceFile> prepared_channels(const io::SourceFile& file, const std::string& name) const {
    std::map<std::string, io::SourceFile> images;
    for (int64_t channel = 0; prepared_ && !file.channels.empty() && channel < io::num_channels(file); ++channel) {
      const io::SourceFile one = io::channel_of(file, channel);
      images.emplace(channel == 0 ? name : one.name, one);
    }
    return images;
  }

  // nnU-Net's channels are images of their own with one mask: they are one case.
  bool shares_mask(const io::SourceFile& file) const {
    return joins_channels_ && num_with_mask_.at(mask_of(file)) > 1 &&
           (io::is_volume(file.mask) || source_.layout == "nnunet");
  }

  const io::Source& source_;
  bool is_classification_, joins_channels_;
  std::map<Mask, int64_t> num_with_mask_;
  std::map<Mask, size_t> case_of_mask_;
  std::shared_ptr<const PreparedTruth> prepared_;
  size_t num_resized_ = 0;
  Truth truth_;
};

}  // namespace

std::vector<bool> tested_by_name(const std::set<std::string>& test_files, std::vector<std::string> names) {
  std::set<std::string> endings;  // of the paths of test files
  for (const std::string& file : test_files) {
    for (const std::string& name : label_names_of(file)) {
      endings.insert(name);
      for (size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1))
        endings.insert(name.substr(slash + 1));
    }
  }
  std::vector<bool> is_tested(names.size());
  for (bool has_folders = true, is_found = false; has_folders && !is_found;) {
    has_folders = false;
    for (size_t i = 0; i < names.size(); ++i) {
      is_tested[i] = endings.contains(names[i]);
      is_found |= is_tested[i];
      const size_t slash = names[i].find('/');
      if (slash == std::string::npos) continue;
      has_folders = true;
      names[i].erase(0, slash + 1);
    }
  }
  return is_tested;
}

bool tell_tested(const fs::path& path, const std::vector<bool>& is_tested) {
  const auto num_tested = std::count(is_tested.begin(), is_tested.end(), true);
  if (num_tested > 0 && num_tested < std::ssize(is_tested))
    log::info(concat(path.string(), ": ", num_tested, " of ", is_tested.size(),
                     " files are of the run's test part; the others are not measured"));
  return num_tested > 0;
}

Truth truth_of_source(io::Source source, const std::optional<std::set<std::string>>& test_files, bool is_classification,
                      const fs::path& path, const NamesTable* names_between) {
  OtherNames others{.of_case = take_channels_apart(source, test_files), .in_dataset = {}};
  if (names_between != nullptr && source.layout != "prepared") {
    for (const NamedCase& one : names_between->cases) others.in_dataset[one.source] = one.name;
    split_time_points(source.files, others.in_dataset);
  } else if (!is_classification) {
    source.files = io::with_masks_of_time_points(source.files);
  }
  std::sort(source.files.begin(), source.files.end(),
            [](const auto& a, const auto& b) { return std::tie(a.name, a.path) < std::tie(b.name, b.path); });
  const std::vector<std::string> names = io::case_names(source.files, source.identifying);

  // a prepared dataset has each channel as a case of its own
  const bool joins_channels = !is_classification && others.in_dataset.empty();
  CasesOfSource cases(source, path, is_classification, joins_channels);
  const std::vector<bool> is_tested = test_files ? cases.tested(*test_files, others) : std::vector<bool>{};
  const bool has_test = tell_tested(path, is_tested);
  const std::string what = is_classification ? "label" : "mask";
  size_t without = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    const io::SourceFile& file = source.files[i];
    if ((has_test && !is_tested[i]) || cases.add(file, names[i])) continue;
    ++without;
    if (has_test)
      fail_file(path, concat(file.name, " of the test part has no ", what),
                "say where the truth of the test part is: --truth");
  }
  Truth truth = cases.finish();
  if (without > 0 && !truth.cases.empty())
    log::warning(
        concat(path.string(), ": ", without, " of ", names.size(), " cases have no ", what, " and are not evaluated"));
  return truth;
}

}  // namespace vmae::run
