#pragma once
// `vmae prepare`: a source (sources/source.h) becomes a prepared dataset (prepared/prepared.h).
#include <filesystem>
#include <string>
#include <vector>

#include "vmae/core/error.h"
#include "vmae/core/options.h"

namespace vmae::run {

struct PrepareOptions {
  std::string layout = "auto";
  std::string names = "hash";
  std::string salt_file;
  std::string modality;
  std::string slice_axis = "auto";
  std::string intensity = "native";
  std::vector<double> window, percentiles{0.5, 99.5};
  int64_t bits = 8;
  std::vector<int64_t> resize;
  bool keep_aspect = false;
  std::vector<std::string> findings;   // as io::find_source()
  std::vector<NamedTexts> structures;  // class -> structures
  std::string duplicates = "keep";
  int64_t shard_mb = 2048;
  int64_t workers = 0;
};
void describe(Options& options, PrepareOptions& prepare);

struct PrepareConfig {
  PrepareOptions prepare;
};
void describe(Options& options, PrepareConfig& config);

// The options that a dataset was prepared with, from what its index says.
PrepareOptions options_of_dataset(const std::vector<std::string>& options);

struct PrepareArguments {
  std::filesystem::path input, output;
  bool overwrite = false, dry_run = false;
  // CSV that says which file each case was made of; empty: none. Outside of the dataset
  std::filesystem::path names_table;
};

// ok, some_failed (finished, but files were left out: quarantine.jsonl), stopped
// (by a signal; the same command goes on); everything else is thrown as Error.
ExitCode prepare(const PrepareConfig& config, const PrepareArguments& arguments);

}  // namespace vmae::run
