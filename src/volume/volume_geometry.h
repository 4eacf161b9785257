#pragma once
// Where the voxels of an NRRD or MetaImage file lie: what ITK takes as it
// comes, or leaves out. Sizes and angles as of NIfTI (right_angles.h).
#include <filesystem>

#include "vmae/image/image.h"

namespace vmae::io {

// Of the text of the header: voxel sizes that are given but are no numbers above 0 (ITK takes 1 for
// them). None at all are 1 mm, as both formats have it. Throws Error(data) naming file, field and value.
void check_spacing_fields(const std::filesystem::path& path, bool is_nrrd);

// Of what ITK read: axes that are sheared, or not of length 1, are
// refused; those that are nearly right are made so. Throws Error(data).
void check_axes(Volume& grid, const std::filesystem::path& path, bool is_nrrd);

// Spacing (of the first num_axes) and origin become millimetres by the header's units (NRRD:
// "space units", or "units" of the axes; MetaImage: DistanceUnits). Units that are not known are
// taken for millimetres, with a warning. Throws Error(data) where one volume has several units.
void apply_units(Volume& grid, size_t num_axes, const std::filesystem::path& path, bool is_nrrd);

}  // namespace vmae::io
