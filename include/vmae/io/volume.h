#pragma once
// NIfTI-1, NRRD and MetaImage volumes, any voxel type, NIfTI's slope and intercept applied, NaN kept. 2D files are volumes of depth 1.
// Every failure (unreadable, cut off, 4D with more than one time point, vector voxels, more than fits memory) is Error(data) naming the file and what to do.
#include <filesystem>

#include "vmae/io/image.h"

namespace vmae::io {

bool is_volume(const std::filesystem::path& path);  // .nii .nii.gz .nrrd .nhdr .mha .mhd, any case
VolumeHeader read_volume_header(const std::filesystem::path& path);
Volume read_volume(const std::filesystem::path& path);

}  // namespace vmae::io
