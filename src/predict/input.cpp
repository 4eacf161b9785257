#include "input.h"

#include <algorithm>

#include "vmae/cases/channels.h"
#include "vmae/cases/time_points.h"
#include "vmae/core/log.h"
#include "vmae/data/modality.h"
#include "vmae/runs/case_voxels.h"
#include "vmae/runs/modality.h"

namespace vmae::run {
namespace {

// Intensities are scaled by modality. What images do not say is as it was in training: what was said there
// (data.modality), or what all of its images were. Of images that are of another one there is a warning.
// Where some of it was CT, the values of volumes tell (data/modality.h), as they may have in training.
void take_modality(std::vector<io::SourceFile>& cases, const ModelCard& card) {
  const std::string trained = card.modality(),
                    said = card.image.modality.empty() ? trained
                                                       : data::checked_modality("data.modality", card.image.modality);
  const auto num_unknown = [&] {
    return std::count_if(cases.begin(), cases.end(), [](const io::SourceFile& file) { return file.modality.empty(); });
  };
  const bool learnt_ct = std::find(card.modalities.begin(), card.modalities.end(), "CT") != card.modalities.end();
  const auto num_before = num_unknown();
  settle_for_prediction(cases, said, learnt_ct && card.image.intensity == "auto");
  if (const auto num_taken = num_before - num_unknown(); num_taken > 0 && !said.empty())
    log::info(
        concat(num_taken, " images do not say their modality: taken as ", said, ", which the model was trained on"));
  const auto num_others = std::count_if(cases.begin(), cases.end(), [&](const io::SourceFile& file) {
    return !trained.empty() && !file.modality.empty() && file.modality != trained;
  });
  if (num_others > 0)
    log::warning(
        concat(num_others, " images are of another modality than ", trained, ", which the model was trained on"));
}

// Channels in another order would give nonsense that looks like a prediction.
void check_channel_names(const std::vector<std::string>& names, const std::vector<std::string>& learnt) {
  for (size_t i = 0; i < std::min(names.size(), learnt.size()); ++i) {
    if (names[i].empty() || learnt[i].empty() || names[i] == learnt[i]) continue;
    throw Error(ExitCode::data,
                concat("the cases have the channels [", join(names, ", "), "], but the model learnt from [",
                       join(learnt, ", "), "]"),
                "name the channels alike, and give them in this order");
  }
}

}  // namespace

std::vector<io::SourceFile> as_learnt(const std::vector<io::SourceFile>& cases, const ModelCard& card,
                                      std::vector<io::SourceRemark>& refused) {
  if (card.channel_names.empty()) return io::single_channels(cases);
  const auto count = std::ssize(card.channel_names);
  std::vector<io::SourceFile> learnt;
  for (io::SourceFile& file : io::stacked_by_number(cases, count, refused).value_or(cases)) {
    if (io::num_channels(file) != count) {
      refused.push_back(
          {file.name, concat("has ", io::num_channels(file), io::num_channels(file) == 1 ? " channel" : " channels",
                             ", but the model learnt from ", count, ": ", io::channel_text(card.channel_names, count),
                             ". Give cases as CASE_0000, CASE_0001, ..., an nnU-Net folder, or a manifest with the "
                             "columns image:NAME")});
      continue;
    }
    // what a channel does not say is as it was in training
    for (size_t i = 0; i < card.channel_modalities.size(); ++i) {
      std::string& modality = i == 0 ? file.modality : file.channels[i - 1].modality;
      if (modality.empty()) modality = card.channel_modalities[i];
    }
    learnt.push_back(std::move(file));
  }
  return learnt;
}

std::vector<io::SourceFile> cases_for(const ModelCard& card, const std::vector<io::SourceFile>& listed,
                                      const std::vector<std::string>& channel_names,
                                      std::vector<io::SourceRemark>& refused) {
  check_channel_names(channel_names, card.channel_names);
  const std::vector<io::SourceFile> learnt = as_learnt(listed, card, refused);
  if (card.channel_names.empty() && learnt.size() > listed.size())
    log::info(concat("the model takes one image at a time: ", learnt.size(), " channels of ", listed.size(),
                     " cases are predicted one by one"));
  if (!card.channel_names.empty() && channel_names.empty() && !learnt.empty())
    log::info(concat("nothing names the channels: those of a case are taken as ",
                     io::channel_text(card.channel_names, std::ssize(card.channel_names)),
                     ", in the order of their numbers"));
  std::vector<io::SourceFile> cases = io::with_time_points(learnt);
  if (card.channel_names.empty()) take_modality(cases, card);
  return cases;
}

namespace {

template <class Load>
LoadedCase without_throwing(const io::SourceFile& file, const Load& load) {
  try {
    return load();
  } catch (const Error& error) {
    return {.one = {}, .problem = error};
  } catch (const std::exception& error) {  // out of memory, say
    return {.one = {}, .problem = Error(ExitCode::data, concat(file.path.string(), ": ", error.what()))};
  }
}

}  // namespace

LoadedCase load_case(const io::SourceFile& file, const data::ImageOptions& image) {
  return without_throwing(file, [&] { return LoadedCase{.one = data::read_case(file, image)}; });
}

LoadedCase load_nnunet_case(const io::SourceFile& file, const nnunet::Plans& plans, const data::ImageOptions& image) {
  return without_throwing(file, [&] {
    CaseImages images = CaseReader({file}).read(file, /*with_labels=*/false);
    LoadedCase loaded;
    loaded.one.volume = images.volumes.front();
    loaded.preprocessed = nnunet::preprocess(voxels_of(std::move(images), file.path.string()), plans);
    loaded.one.range = data::range_of(loaded.one.volume, image);  // of values that are all finite
    loaded.one.axis = io::axis_number(nnunet::slice_axis_of(plans));
    return loaded;
  });
}

}  // namespace vmae::run
