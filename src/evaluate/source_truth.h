#pragma once
// The truth that a source has, and which of its names are of a run's test part.
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "input.h"
#include "vmae/sources/source.h"

namespace vmae::run {

// As open_truth(); without cases where the source has no truth at all.
Truth truth_of_source(io::Source source, const std::optional<std::set<std::string>>& test_files, bool is_classification,
                      const std::filesystem::path& path, const NamesTable* names_between);

// Which of these names (paths without ending) are of a run's test part, where
// its files lie in other folders: told by as much of their paths as both have.
std::vector<bool> tested_by_name(const std::set<std::string>& test_files, std::vector<std::string> names);
// Whether any are, of the names in `path`; the log says how many, unless all are.
bool tell_tested(const std::filesystem::path& path, const std::vector<bool>& is_tested);

}  // namespace vmae::run
