#include "alike.h"

#include "vmae/core/error.h"
#include "vmae/core/hash.h"

namespace vmae::run {
namespace {

// What must be equal, as text.
weights::Metadata text_of_model(const LoadedModel& one) {
  weights::Metadata metadata;
  add_card(one.card, metadata);
  metadata["size"] =
      concat(one.card.image.image_size[0], "x", one.card.image.image_size[1], "x", one.card.image.in_channels);
  if (one.plans != nullptr) {
    constexpr size_t kShownBytes = 4;
    metadata["plan"] = concat(one.plans->plans_name, " of ", one.plans->dataset_name, " (",
                              hex(sha256(nnunet::plans_json(*one.plans)), kShownBytes), ")");
    for (const nnunet::LabelEntry& entry : one.labels.foreground) {
      metadata["labels"] += entry.name + ":";
      for (const int64_t value : entry.values) metadata["labels"] += concat(' ', value);
      metadata["labels"] += "; ";
    }
  }
  metadata.erase("mirrors");
  metadata.erase("input_statistics");
  return metadata;
}

}  // namespace

void require_alike(const std::vector<LoadedModel>& models) {
  for (const LoadedModel& other : models) {
    if (other.name != models.front().name)
      throw Error(
          ExitCode::checkpoint,
          concat("models that are averaged must be alike, but one is ", models.front().name, ", another ", other.name),
          "predict with each on its own");
    auto expected = text_of_model(models.front()), found = text_of_model(other);
    for (const auto& [key, value] : found) expected.try_emplace(key);  // one may not say
    for (const auto& [key, value] : expected) {
      if (found[key] == value) continue;
      throw Error(ExitCode::checkpoint,
                  concat("models that are averaged must be alike, but their ", key, " differs: '", value, "' and '",
                         found[key], "'"),
                  "predict with each on its own");
    }
  }
}

}  // namespace vmae::run
