#pragma once
// Where the weights of a model lie that a user names by a file or a folder.
#include <filesystem>
#include <vector>

namespace vmae::run {

// A weights file, or the best (else last) checkpoint of a run
// folder. Throws Error(checkpoint) naming what was looked for.
std::filesystem::path find_weights(const std::filesystem::path& path);
// Likewise, of the folder of a run of folds those of each fold.
std::vector<std::filesystem::path> find_all_weights(const std::filesystem::path& path);

}  // namespace vmae::run
