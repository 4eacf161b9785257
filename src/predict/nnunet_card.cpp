#include "nnunet_card.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "vmae/cases/class_names.h"
#include "vmae/core/error.h"
#include "vmae/nnunet/channel_names.h"

namespace vmae::run {
namespace {

constexpr const char *kPlansKey = "nnunet_plans", *kDatasetKey = "nnunet_dataset", *kMirrorKey = "nnunet_mirror_axes";

const std::string& text_of_key(const weights::Metadata& metadata, const char* key) {
  const auto found = metadata.find(key);
  if (found == metadata.end())
    throw Error(ExitCode::data, concat("its metadata has no ", key, ", without which an nnU-Net can't be used"),
                "give a checkpoint as nnU-Net writes it, or weights of vmae finetune-seg");
  return found->second;
}

std::vector<int64_t> mirror_axes_of(const weights::Metadata& metadata) {
  const auto found = metadata.find(kMirrorKey);
  if (found == metadata.end()) return {0, 1};
  const auto json = nlohmann::json::parse(found->second, nullptr, /*allow_exceptions=*/false);
  if (json.is_null()) return {};
  std::vector<int64_t> axes;
  for (const int64_t axis : {0, 1}) {
    if (json.is_array() && std::count(json.begin(), json.end(), nlohmann::json(axis)) == 1) axes.push_back(axis);
  }
  if (!json.is_array() || axes.size() != json.size())
    throw Error(ExitCode::data, concat(kMirrorKey, " is ", found->second, "; meant is a list of 0 and 1"));
  return axes;
}

// nnU-Net reads a colour picture as three channels of one file.
bool is_of_pictures(const nnunet::Plans& plans) { return plans.reader_writer == "NaturalImage2DIO"; }

// A region that is one value alone, which it is painted with, has that value's name.
std::string name_of_number(const nnunet::LabelEntry& region, int64_t number) {
  return region.values == std::vector<int64_t>{number} ? region.name : io::nameless_label(number);
}

}  // namespace

NnUnetCard nnunet_card_of(const weights::Metadata& metadata) {
  NnUnetCard card;
  const std::string& dataset = text_of_key(metadata, kDatasetKey);
  card.plans = std::make_shared<nnunet::Plans>(nnunet::plans_of_json(text_of_key(metadata, kPlansKey), kPlansKey));
  card.labels = nnunet::labels_of_json(dataset, kDatasetKey);
  card.mirror_axes = mirror_axes_of(metadata);
  const size_t num_channels = card.plans->flat.normalization.size();
  if (is_of_pictures(*card.plans) && num_channels == 3) return card;
  card.channel_names = nnunet::channel_names_of_json(dataset, kDatasetKey);
  if (card.channel_names.size() != num_channels)
    throw Error(ExitCode::data, concat(kDatasetKey, " names ", card.channel_names.size(), " channels, but ", kPlansKey,
                                       " has ", num_channels));
  return card;
}

void complete_card(const NnUnetCard& own, bool is_ours, ModelCard& card) {
  const nnunet::Labels& labels = own.labels;
  card.class_names.clear();
  for (size_t i = 0; i < labels.foreground.size(); ++i) {
    const nnunet::LabelEntry& entry = labels.foreground[i];
    if (labels.has_regions()) card.region_names.push_back(entry.name);
    card.class_names.push_back(labels.has_regions() ? name_of_number(entry, labels.region_order[i]) : entry.name);
  }
  if (labels.has_regions()) card.label_values = labels.region_order;
  card.image.slice_axis = nnunet::slice_axis_of(*own.plans);
  if (!is_ours) card.channel_names = own.channel_names;
}

}  // namespace vmae::run
