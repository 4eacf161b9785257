#pragma once
// The arrays of an .npz, without LibTorch.
#include <filesystem>
#include <functional>
#include <string>

#include "vmae/weights/stored.h"
#include "zip_file.h"

namespace vmae::weights {

struct NpyHeader {
  const Dtype* dtype = nullptr;
  std::vector<int64_t> shape{};
  bool is_column_by_column = false;  // how the numbers lie
};

// Whether a file that begins so (its first few hundred bytes) is a zip whose first entry is a .npy.
bool is_npz(const std::string& head);

// With each array in the file's order: its name without ".npy", its header, and the entry, from which
// its numbers can be read next.
using NpyVisit = std::function<void(const std::string& name, const NpyHeader& header, ZipEntry& entry)>;
void for_each_npy(const std::filesystem::path& path, const NpyVisit& visit);

}  // namespace vmae::weights
