#pragma once
// What nnU-Net's dataset.json calls the channels of a case.
#include <filesystem>
#include <string>
#include <vector>

namespace vmae::nnunet {

// "channel_names", or version 1's "modality", in the order of their numbers. dataset_json: the file's text. Throws
// Error(data) naming `for_messages` and the key: neither is there, numbers are left out.
std::vector<std::string> channel_names_of_json(const std::string& dataset_json,
                                               const std::filesystem::path& for_messages);

}  // namespace vmae::nnunet
