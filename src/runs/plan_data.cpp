#include "vmae/runs/plan_data.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "vmae/cases/channels.h"
#include "vmae/cases/class_names.h"
#include "vmae/cases/label_meaning.h"
#include "vmae/cases/time_points.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/counting.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/core/parallel.h"
#include "vmae/image/file_name.h"
#include "vmae/image/picture.h"
#include "vmae/nnunet/labels.h"
#include "vmae/nnunet/planner.h"
#include "vmae/prepared/mask.h"
#include "vmae/prepared/prepared.h"
#include "vmae/runs/case_voxels.h"
#include "vmae/runs/modality.h"
#include "vmae/runs/normalization.h"
#include "vmae/runs/source_notes.h"
#include "vmae/runs/split.h"
#include "vmae/sources/case_names.h"
#include "vmae/sources/dataset_json.h"
#include "vmae/sources/source.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

bool comes_from_dataset_json(const io::Source& source) {
  return source.layout == "nnunet" || source.layout == "decathlon";
}

// `known`: as KnownData::files. in_folds: names of those that plan.splits has in any fold; empty: no splits.
std::vector<io::SourceFile> cases_to_plan(const io::Source& source, const std::map<std::string, io::SourceFile>* known,
                                          const std::set<std::string>& in_folds) {
  std::optional<io::PreparedDataset> prepared;
  const auto has_mask = [&](const io::SourceFile& file) {
    if (file.prepared_case < 0) return !file.mask.empty();
    if (!prepared) prepared.emplace(file.path);
    return io::has_mask(*prepared, prepared->read_case(file.prepared_case));
  };
  std::vector<io::SourceFile> cases;
  int64_t num_of_test = 0, num_in_no_fold = 0, num_without_mask = 0;
  for (const io::SourceFile& file : source.files) {
    if (known != nullptr && !known->contains(file.name)) continue;
    if (file.split == "test") {
      ++num_of_test;
    } else if (!in_folds.empty() && !in_folds.contains(file.name)) {
      ++num_in_no_fold;
    } else if (!has_mask(file)) {
      ++num_without_mask;
    } else {
      cases.push_back(known != nullptr ? known->at(file.name) : file);
    }
  }
  if (num_of_test > 0) log::info(count_text(num_of_test, "case") + " marked as test stay out");
  if (num_in_no_fold > 0)
    log::info(count_text(num_in_no_fold, "case") + " that neither train nor validate stay out of the plan");
  if (num_without_mask > 0) log::warning(count_text(num_without_mask, "case") + " without a mask stay out");
  if (cases.empty())
    throw Error(ExitCode::data, "no case has a mask: nnU-Net plans segmentation",
                "give images with label maps: docs/data.md says how they are found");
  // by the case, not by its first file: "a_0000" would come behind "a1_0000"
  if (source.layout == "nnunet")
    std::stable_sort(cases.begin(), cases.end(),
                     [](const io::SourceFile& a, const io::SourceFile& b) { return a.patient < b.patient; });
  return cases;
}

std::string reader_writer_of(const io::SourceFile& file, const CaseImages& images) {
  const std::string ending = file.prepared_case >= 0 || !file.series.empty() ? "" : io::ending_of(file.path);
  if (ending == ".nii") return "NibabelIO";
  if (ending.starts_with(".tif") && images.volumes.front().size[2] > 1) return "Tiff3DIO";
  const bool is_picture = file.prepared_case >= 0 ? images.is_flat : io::is_picture(file.path);
  return is_picture ? "NaturalImage2DIO" : "SimpleITKIO";
}

// What nnU-Net would refuse of its own folder, though a plan can be made of it.
void warn_of_labels(const fs::path& dataset_json) {
  try {
    nnunet::labels_of_json(read_file(dataset_json), dataset_json);
  } catch (const Error& error) {
    log::warning(concat("nnU-Net's own program refuses these labels: ", error.what()));
  }
}

// What is gathered of all cases while they are read, in any order.
struct Gathered {
  io::LabelFacts labels;
  std::vector<std::map<std::string, int64_t>> modalities;  // of each channel: of how many cases
  bool is_colour = false;

  void add(const io::SourceFile& file, const CaseImages& images, const std::string& name) {
    labels.add(io::count_labels(images.labels.data(), images.labels.size()), "the mask of " + name);
    modalities.resize(std::max(modalities.size(), images.volumes.size()));
    for (size_t i = 0; i < images.volumes.size(); ++i) {
      const std::string& own = images.volumes[i].modality;
      ++modalities[i][own.empty() ? (i == 0 ? file : file.channels[i - 1]).modality : own];
      is_colour |= images.volumes[i].channels > 1;
    }
  }
};

std::vector<std::string> names_of_channels(const io::Source& source, const io::DatasetJson& json,
                                           const PlanOptions& options, const Gathered& gathered) {
  const size_t given = options.channel_names.size(), count = gathered.is_colour ? 3 : gathered.modalities.size();
  if (given > 0 && given != count)
    throw Error(ExitCode::usage,
                concat("plan.channel_names = [", join(options.channel_names, ", "), "] has ",
                       count_text(std::ssize(options.channel_names), "name"), ", but a case has ",
                       count_text(static_cast<int64_t>(count), "channel")),
                "name each channel, in their order");
  if (given > 0) return options.channel_names;
  if (!json.channels.empty()) return json.channels;
  if (gathered.is_colour) return {"R", "G", "B"};
  std::vector<std::string> names = source.channel_names;
  names.resize(gathered.modalities.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const std::map<std::string, int64_t>& modalities = gathered.modalities[i];
    if (names[i].empty() && modalities.size() == 1) names[i] = modalities.begin()->first;
  }
  return names;
}

// Names that a dataset has for other programs make nnU-Net's normalisation: "arterial" is a z-score, though it is CT.
void warn_of_channel_names(const std::vector<std::string>& names, const Gathered& gathered) {
  std::vector<std::string> schemes;
  std::vector<ChannelFacts> channels;
  for (size_t i = 0; i < std::min(names.size(), gathered.modalities.size()); ++i) {
    schemes.push_back(nnunet::normalization_of(names[i]));
    channels.push_back({names[i], gathered.modalities[i]});
  }
  const UnexpectedNormalization found = unexpected_normalization(schemes, channels);
  if (!found.text.empty())
    log::warning(concat(found.text, ": plan.channel_names=[", join(found.names, ","), "] gives what it stands for"));
}

// Names that the dataset gives to values; what nnU-Net would have as "labels". A value that only has a name
// because regions are made of it is no label there.
int64_t num_labels_of(const io::Source& source, const std::vector<std::string>& names, bool has_ignore) {
  int64_t count = 1 + std::ssize(source.regions) + (has_ignore ? 1 : 0);
  for (size_t i = 0; i < names.size(); ++i) {
    const auto value = static_cast<int64_t>(i) + 1;
    const bool is_in_a_region =
        std::any_of(source.regions.begin(), source.regions.end(), [&](const io::LabelRegion& region) {
          return std::find(region.values.begin(), region.values.end(), value) != region.values.end();
        });
    count += is_in_a_region && names[i] == io::nameless_label(value) ? 0 : 1;
  }
  return count;
}

std::string dataset_name(const fs::path& input, const io::Source& source) {
  fs::path path = fs::absolute(input).lexically_normal();  // a link keeps its own name
  if (!path.has_filename()) path = path.parent_path();
  return io::safe_name(fs::is_directory(path) ? path.filename().string() : path.stem().string(), source.identifying);
}

}  // namespace

PlanData read_plan_data(const fs::path& input, const PlanOptions& options, const KnownData& known) {
  io::Source source = io::find_source(input);
  const bool is_of_run = known.meaning != nullptr, has_json = comes_from_dataset_json(source);
  if (!is_of_run) log_remarks(source);
  std::set<std::string> in_folds;
  if (!options.splits.empty())
    in_folds = names_in_any_fold(source.files,
                                 {.file = options.splits, .label_fraction = options.label_fraction, .section = "plan"});
  if (!is_of_run && !has_json && options.channel_names.empty())  // all of them, as a run does
    settle_for_planning(source.files, /*have_names=*/!source.channel_names.empty());
  const std::vector<io::SourceFile> cases = io::with_masks_of_time_points(cases_to_plan(source, known.files, in_folds));
  const CaseReader reader(cases, source.mask_names);
  io::common_channels(cases);

  std::vector<nnunet::CaseFacts> facts(cases.size());
  const int64_t voxels_per_case = std::max<int64_t>(1, options.foreground_voxels / std::ssize(cases));
  Gathered gathered;
  PlanData data;
  std::mutex mutex;
  Counting counting("cases", std::ssize(cases));
  std::vector<std::string> readers(cases.size());
  const auto look_at = [&](size_t i) {
    const io::SourceFile& file = cases[i];
    CaseImages images = reader.read(file, /*with_labels=*/true);
    const std::string name = io::without(file.name, source.identifying);
    {
      const std::lock_guard lock(mutex);
      gathered.add(file, images, name);
      readers[i] = reader_writer_of(file, images);
    }
    if (known.meaning != nullptr) known.meaning->apply(images.labels.data(), images.labels.size());
    facts[i] = nnunet::facts_of(voxels_of(std::move(images), name), voxels_per_case);
  };
  std::vector<uint8_t> is_left_out(cases.size());
  parallel_for(std::ssize(cases), static_cast<int>(options.workers), [&](int64_t i) {
    try {
      look_at(static_cast<size_t>(i));
    } catch (const Error& error) {
      if (error.code() != ExitCode::data || known.left_out == nullptr) throw;  // the run quarantines it, too
      const std::lock_guard lock(mutex);
      known.left_out->push_back(error.what());
      is_left_out[static_cast<size_t>(i)] = 1;
    }
    counting.add();
  });
  for (size_t i = cases.size(); i-- > 0;) {
    if (is_left_out[i] == 0) {
      data.dataset.reader_writer = readers[i];  // in the end that of the first
    } else {
      facts.erase(facts.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  if (facts.empty()) throw Error(ExitCode::data, "no case can be read", "see the reasons above");
  data.num_without_foreground =
      std::count_if(facts.begin(), facts.end(), [](const nnunet::CaseFacts& one) { return one.num_foreground == 0; });
  const auto num_cases = std::ssize(facts);
  data.fingerprint = nnunet::fingerprint_of(std::move(facts));

  if (source.layout == "nnunet" && !is_of_run) warn_of_labels(input / "dataset.json");
  const io::DatasetJson json = has_json ? io::read_dataset_json(input / "dataset.json") : io::DatasetJson{};
  io::LabelRules rules{.names = options.classes,
                       .own_names = source.mask_names,
                       .values = options.label_values,
                       .ignore = io::ignored_value(options.ignore_label, source.ignore_label),
                       .section = "plan"};
  if (rules.own_names.empty()) rules.own_names = reader.structures();
  const io::LabelMeaning meaning = is_of_run ? *known.meaning : io::label_meaning(rules, gathered.labels);
  data.class_names = meaning.names;
  for (const io::LabelRegion& region : source.regions) data.region_names.push_back(region.name);
  data.has_ignore = meaning.ignore >= 0;
  data.dataset.name = dataset_name(input, source);
  data.dataset.channel_names = names_of_channels(source, json, options, gathered);
  if (!is_of_run && options.channel_names.empty()) warn_of_channel_names(data.dataset.channel_names, gathered);
  data.dataset.num_labels =
      json.num_labels > 0 ? json.num_labels : num_labels_of(source, meaning.names, data.has_ignore);
  data.dataset.num_training = num_cases;
  if (!json.reader_writer.empty()) data.dataset.reader_writer = json.reader_writer;
  return data;
}

}  // namespace vmae::run
