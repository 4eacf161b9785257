#pragma once
// The voxels of a NIfTI-1 file, read with zlib. Not through ITK 5.2 and its NIfTI library: they take a file that is cut off for a whole one,
// turn NaN into 0 and leave the slope out where a file has no orientation.
#include <array>
#include <filesystem>

#include "vmae/io/image.h"

namespace vmae::io {

// Throws Error(data) for what would make ITK's reader of the header hang, and for what is not NIfTI-1 at all.
void check_nifti_header(const std::filesystem::path& path);

struct NiftiHeaderBytes {
  std::array<char, 348> bytes{};
  bool is_swapped = false;  // big endian
};
NiftiHeaderBytes read_nifti_header_bytes(const std::filesystem::path& path);  // throws Error(data)

// Fills type, stored and scaling of a volume whose size is set; .nii or .nii.gz, either byte order. Throws Error(data); the checksum of a .gz is verified when
// the last time point is read.
void read_nifti_voxels(const std::filesystem::path& path, int64_t time_point, bool is_last, Volume& volume);

}  // namespace vmae::io
