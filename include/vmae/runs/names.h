#pragma once
// What tells which files the cases of a prepared dataset were made of (docs/prepare.md, "The way back").
#include <filesystem>
#include <string>

namespace vmae::run {

struct NameArguments {
  std::filesystem::path table;   // of `vmae prepare --names-table`; or
  std::filesystem::path source;  // what the dataset was prepared from,
  std::string salt_file;         // with prepare.salt_file; empty: the user's own salt
};

}  // namespace vmae::run
