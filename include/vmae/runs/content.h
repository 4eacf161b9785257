#pragma once
// Whether files are still what they were, in a line of text.
#include <filesystem>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"

namespace vmae::run {

// Of a file its path, size and checksum; of cases their number, names, paths, sizes and times of change.
std::string content_of(const std::filesystem::path& file);
std::string content_of(const std::vector<io::SourceFile>& cases, const std::vector<std::string>& names);

}  // namespace vmae::run
