#pragma once
// `vmae split`: from a source of images to splits.json.
#include <filesystem>
#include <iosfwd>

#include "vmae/core/options.h"
#include "vmae/splits/splits.h"

namespace vmae::run {

struct SplitCommandOptions : io::SplitOptions {
  std::vector<std::string> findings;  // as io::find_source()
};
void describe(Options& options, SplitCommandOptions& split);

struct SplitConfig {
  SplitCommandOptions split;
};
void describe(Options& options, SplitConfig& config);

// Divides the cases of `input` and writes `output`, which must not exist unless `overwrite`. Prints what
// each part of each fold holds. Cases that the source itself marks as test stay out: they are in no part.
void split(const SplitConfig& config, const std::filesystem::path& input, const std::filesystem::path& output,
           bool overwrite, std::ostream& out);

}  // namespace vmae::run
