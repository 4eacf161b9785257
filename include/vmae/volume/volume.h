#pragma once
// NIfTI, NRRD and MetaImage volumes, any voxel type, NIfTI's slope and intercept in `scaling`, NaN kept. 2D files
// are volumes of depth 1; a 4-D file is a row of volumes, one per time point (further axes likewise). Every failure
// (unreadable, cut off, vector voxels, more than fits memory) is Error(data) naming the file and what to do.
#include <filesystem>

#include "vmae/image/image.h"

namespace vmae::io {

bool is_volume(const std::filesystem::path& path);  // .nii .nii.gz .nrrd .nhdr .mha .mhd, any case
VolumeHeader read_volume_header(const std::filesystem::path& path);
Volume read_volume(const std::filesystem::path& path, int64_t time_point = 0);

}  // namespace vmae::io
