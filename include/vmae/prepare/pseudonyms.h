#pragma once
// What stands for paths and patients in prepared datasets, and in messages about them.
#include <filesystem>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"

namespace vmae::run {

// Turns paths and patients into keys that can't be turned back without the salt.
class Pseudonyms {
 public:
  Pseudonyms(std::string salt, bool keeps_names) : salt_(std::move(salt)), keeps_names_(keeps_names) {}
  std::string name(const std::string& path) const;  // 16 hexadecimal digits, or the path itself if names are kept
  std::string patient(const std::string& id) const;
  // A message of an error without the paths of the case's files or anything else that looks like a path.
  std::string redact(std::string message, const io::SourceFile& file) const;
  // The same without a case: texts that identify patients, and whatever looks like a path or a file name, are removed.
  std::string redact(std::string text) const;
  std::string salt_check() const;                          // tells one salt from another, and nothing else
  std::string redact_name(const std::string& name) const;  // of a structure, which is no path: by words (io::without)
  void know(const std::vector<std::string>& identifying);  // texts that DICOM headers hold

 private:
  std::string salt_;
  bool keeps_names_;
  std::vector<std::string> identifying_;
};

// Reads prepare.salt_file; makes it (readable by the user alone)
// if it is the default one and absent, unless it must be there.
std::string read_salt(const std::filesystem::path& salt_file, bool may_make = true);

bool has_own_salt();  // whether the default one is there

}  // namespace vmae::run
