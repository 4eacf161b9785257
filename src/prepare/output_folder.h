#pragma once
// The output folder of `vmae prepare`: what belongs to us there, and whose turn it is.
#include <filesystem>
#include <optional>
#include <string>

#include "vmae/core/file_lock.h"
#include "vmae/prepare/plan.h"

namespace vmae::run {

class OutputFolder {
 public:
  // Throws Error(usage) where something else lies here, before anything is written.
  explicit OutputFolder(std::filesystem::path path);

  std::filesystem::path file(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

  // Begins, or goes on with the same plan. Throws Error(usage) where a dataset of another one lies here.
  void begin(const Plan& plan, const Pseudonyms& pseudonyms, bool overwrite) const;

 private:
  void refuse_others() const;

  std::filesystem::path path_;
  std::optional<FileLock> lock_;
};

}  // namespace vmae::run
