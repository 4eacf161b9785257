#pragma once
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace vmae::test {

// A file of the repository; ctest and scripts/test set VMAE_SOURCE_DIR.
inline std::filesystem::path source_path(const std::string& relative) {
  const char* root = std::getenv("VMAE_SOURCE_DIR");
  if (root == nullptr) throw std::runtime_error("set VMAE_SOURCE_DIR to the repository's root");
  return std::filesystem::path(root) / relative;
}

}  // namespace vmae::test
