#pragma once
// The voxels of a NIfTI-1 file, read with zlib. Not through ITK 5.2 and its NIfTI library: they take a file that is cut off for a whole one,
// turn NaN into 0 and leave the slope out where a file has no orientation.
#include <filesystem>
#include <vector>

namespace vmae::io {

// `num_voxels` values, scaled by slope and intercept; .nii or .nii.gz, either byte order. Throws Error(data); the checksum of a .gz is verified.
std::vector<float> read_nifti_voxels(const std::filesystem::path& path, size_t num_voxels);

}  // namespace vmae::io
