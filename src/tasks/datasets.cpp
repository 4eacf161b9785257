#include "vmae/tasks/datasets.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "vmae/cases/channels.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/data/file_source.h"
#include "vmae/data/modality.h"
#include "vmae/runs/modality.h"
#include "vmae/sources/source.h"

namespace vmae::run {

namespace {

// data.slice_axis = auto, decided over all that a file of splits divides, so that its folds are cut alike.
std::string decided_axis(const DataOptions& options, const TrainVal& split, std::vector<std::string>& axes_text) {
  std::vector<io::SourceFile> files;
  for (const auto* part : {&split.train, &split.val, &split.test, &split.unused}) {
    std::copy_if(part->begin(), part->end(), std::back_inserter(files),
                 [](const io::SourceFile& file) { return file.prepared_case < 0; });
  }
  if (options.image.slice_axis != "auto" || options.splits.file.empty() || files.empty())
    return options.image.slice_axis;
  const io::CommonAxis common = data::common_axis_of(files);
  if (common.axis < 0) return "auto";
  axes_text.push_back(common.text());
  return io::axis_name(common.axis);
}

// The same without splits: what the volumes that train came to, where all sources agree.
std::string axis_of_sources(const std::string& wanted, const data::Dataset& dataset,
                            std::vector<std::string>& axes_text) {
  if (wanted != "auto") return wanted;
  std::set<int> axes;
  for (const io::CommonAxis& one : dataset.common_axes()) {
    if (one.axis < 0) continue;
    axes.insert(one.axis);
    axes_text.push_back(one.text());
  }
  return axes.size() == 1 ? io::axis_name(*axes.begin()) : wanted;
}

// What would be wrong with data.test is said before training, not after it.
void check_test(const std::string& test, const std::vector<std::string>& findings, const Datasets& datasets,
                bool has_masks) {
  const io::Source source = io::find_source(test, "auto", findings);
  require_separate(datasets.split, source.files, "data.test");
  const auto refuse = [&](const char* what, const std::vector<std::string>& theirs,
                          const std::vector<std::string>& ours) {
    throw Error(ExitCode::data,
                concat("data.test = ", test, " has the ", what, " [", join(theirs, ", "), "], but data.train has [",
                       join(ours, ", "), "]"),
                "give both the same names, or leave data.test out and predict with `vmae predict`");
  };
  const std::vector<std::string>& labels = datasets.splits.label_names;
  if (!has_masks && !source.label_names.empty()) {
    const bool are_known = std::all_of(
        source.label_names.begin(), source.label_names.end(),
        [&](const std::string& name) { return std::find(labels.begin(), labels.end(), name) != labels.end(); });
    if (!are_known || source.is_multi_label != datasets.splits.is_multi_label)
      refuse(source.is_multi_label ? "findings" : "classes", source.label_names, labels);
  }
  if (!source.channel_names.empty() && !datasets.splits.channel_names.empty() &&
      source.channel_names != datasets.splits.channel_names)
    refuse("channels", source.channel_names, datasets.splits.channel_names);
  const std::vector<std::string> masks = datasets.splits.mask_names();
  if (has_masks && !source.mask_names.empty() && !masks.empty() && source.mask_names != masks)
    refuse("mask values 1, 2, ...", source.mask_names, masks);
}

// The channels of a case are the network's input channels.
int64_t fitting_channels(const DataOptions& options, const Session& session, const Datasets& datasets) {
  const SourceSplits& splits = datasets.splits;
  const int64_t wanted = options.image.in_channels;
  const auto of_one_image = [&] {
    if (session.arguments.says_in_channels && wanted != 1 && wanted != 3)
      log::warning(concat("model.in_channels = ", wanted,
                          ", but an image has one channel, or three: grey is repeated, colour can't be read"));
    return wanted;
  };
  if (options.channels == "single") return of_one_image();
  std::vector<io::SourceFile> files = datasets.split.train;
  for (const auto* part : {&datasets.split.val, &datasets.split.test})
    files.insert(files.end(), part->begin(), part->end());
  const int64_t count = io::common_channels(files);
  if (!splits.channel_conflict.empty())
    throw Error(ExitCode::data, splits.channel_conflict,
                "give all sources the same channels, or take each image by itself: data.channels=single");
  if (count == 1) return of_one_image();
  const std::string text = io::channel_text(splits.channel_names, count);
  if (session.arguments.says_in_channels && wanted != count)
    throw Error(ExitCode::usage,
                concat("model.in_channels is ", wanted, ", but a case has ", count, " channels: ", text),
                "leave model.in_channels out, or take each image by itself: data.channels=single");
  log::info(
      concat("a case has ", count, " channels: ", text, " (data.channels=stacked, model.in_channels=", count, ")"));
  return count;
}

void name_channels(const DataOptions& options, Datasets& datasets) {
  const std::vector<io::SourceFile>& train = datasets.split.train;
  const auto count = static_cast<size_t>(io::common_channels(train));
  if (options.channels == "single" || count == 1) return;
  datasets.channel_names = datasets.splits.channel_names;
  datasets.channel_names.resize(count);
  for (size_t channel = 0; channel < count; ++channel) {
    std::set<std::string> all;
    for (const io::SourceFile& file : train)
      all.insert(channel == 0 ? file.modality : file.channels[channel - 1].modality);
    datasets.channel_modalities.push_back(all.size() == 1 ? *all.begin() : "");
  }
}

}  // namespace

Datasets load_datasets(const DataOptions& options, const Session& session, const data::Targets& targets) {
  SplitChoice choice = options.splits;
  choice.single_channels = options.channels == "single";
  Datasets datasets;
  choice.findings = options.findings;
  ModalityOfSources modality(options.image);
  datasets.splits = split_sources(
      named_sources(options.train), named_sources(options.val), options.val_fraction, session.seed(), choice,
      [&](std::vector<io::SourceFile>& files, bool is_training) { modality.settle(files, is_training); });
  auto quarantine =
      std::make_shared<data::Quarantine>(session.folder ? session.folder->quarantine() : "", options.max_bad_fraction);
  const bool wants_labels = targets.num_labels != 0 && targets.num_labels != data::Targets::kLabelsIfAny;
  if (wants_labels && !datasets.splits.label_conflict.empty())
    throw Error(ExitCode::data, datasets.splits.label_conflict, "give all sources the same classes or findings");
  datasets.split = flat(datasets.splits);
  const bool is_labelled = targets.mask || wants_labels;
  if (is_labelled && !options.test.empty()) check_test(options.test, options.findings, datasets, targets.mask);
  data::Targets wanted = targets;
  if (wanted.num_labels < 0) wanted.num_labels = static_cast<int64_t>(datasets.splits.label_names.size());
  if (!wants_labels && !datasets.splits.label_conflict.empty()) wanted.num_labels = 0;
  data::ImageOptions image = options.image;
  datasets.in_channels = fitting_channels(options, session, datasets);
  image.in_channels = datasets.in_channels;
  name_channels(options, datasets);
  image.slice_axis = decided_axis(options, datasets.split, datasets.slice_axes_text);
  datasets.train = std::make_shared<data::Dataset>(datasets.splits.train, image, quarantine, wanted);
  datasets.slice_axis = axis_of_sources(image.slice_axis, *datasets.train, datasets.slice_axes_text);
  image.slice_axis = datasets.slice_axis;
  if (!datasets.splits.val.empty())
    datasets.val = std::make_shared<data::Dataset>(datasets.splits.val, image, quarantine, wanted);
  datasets.volume_rules = data::volume_rules(datasets.split.train, image);
  return datasets;
}

void tell_images(const Datasets& datasets, const data::ImageOptions& image) {
  for (const std::string& text : datasets.slice_axes_text)
    log::info("slices are cut along " + text + " (data.slice_axis)");
  const int64_t unreadable = datasets.train->bad_files().count();
  log::info(concat("training: ", datasets.train->size(), " images from ", datasets.split.train.size(),
                   " files; validation: ", datasets.val ? datasets.val->size() : 0, " images from ",
                   datasets.split.val.size(), " files", unreadable > 0 ? concat("; unreadable: ", unreadable) : "",
                   datasets.val ? "" : "; nothing tells better weights from worse, the last ones are the result"));
  log_intensity({&datasets.split.train, &datasets.split.val}, image, "file");
}

DataCard card_of(const Datasets& datasets) {
  DataCard card{.layouts = datasets.splits.layouts, .parts = {{"training", datasets.split.train, datasets.train}}};
  if (!datasets.split.val.empty()) card.parts.push_back({"validation", datasets.split.val, datasets.val});
  if (!datasets.split.test.empty()) card.parts.push_back({"test", datasets.split.test});
  card.left_out = datasets.splits.refused;
  card.remarks = datasets.splits.remarks;
  card.identifying = datasets.splits.identifying;
  return card;
}

data::LoaderOptions training_loader(const DataOptions& data, const train::Plan& plan, uint64_t seed) {
  return {.batch_size = plan.world_batch,
          .seed = seed,
          .workers = data.workers,
          .prefetch = data.prefetch,
          .pin_memory = plan.device.is_cuda(),
          .rank = plan.rank,
          .world_size = plan.num_ranks,
          .step_size = plan.train.batch_size,
          .weights = data.weights,
          .samples_per_epoch = plan.samples_per_epoch};
}

}  // namespace vmae::run
