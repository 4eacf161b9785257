#include "vmae/nnunet/channel_names.h"

#include <nlohmann/json.hpp>

#include "json_place.h"
#include "vmae/core/error.h"

namespace vmae::nnunet {

std::vector<std::string> channel_names_of_json(const std::string& dataset_json,
                                               const std::filesystem::path& for_messages) {
  const Json json = parse_json(dataset_json, for_messages);
  const JsonPlace place(for_messages, json);
  const JsonPlace channels = place.at(place.has("modality") ? "modality" : "channel_names");
  std::vector<std::string> names;
  while (channels.has(std::to_string(names.size()))) names.push_back(channels.at(std::to_string(names.size())).text());
  if (names.empty() || names.size() != channels.json().size()) channels.fail("meant are names of 0, 1, ...");
  return names;
}

}  // namespace vmae::nnunet
