#pragma once
// A case as the network of a plan sees it: nnU-Net's DefaultPreprocessor for the configuration 2d. In this order:
// transposed, cropped to what is not zero, normalised, slices resampled.
#include <array>
#include <cstdint>
#include <vector>

#include "vmae/nnunet/fingerprint.h"
#include "vmae/nnunet/plans.h"

namespace vmae::nnunet {

// All of it transposed: slices, rows, columns.
struct PreprocessedCase {
  std::array<int64_t, 3> shape{};
  std::vector<std::vector<float>> channels;
  std::vector<int16_t> labels;  // -1: outside of what is not zero, where there is no label either
  // the way back
  Box box;  // of the crop, in shape_before_crop
  std::array<int64_t, 3> shape_before_crop{}, shape_after_crop{};
  std::array<double, 3> spacing{};  // before
};

// voxels.labels may be empty: all background. Throws Error(data) naming the case: another number of channels than
// the plan has, NaN or infinite values, colours beyond 0 to 255, an axis that resampling leaves nothing of.
PreprocessedCase preprocess(const CaseVoxels& voxels, const Plans& plans);

// True where a channel is not 0, and in holes that no way leads out of from voxel to voxel across faces.
std::vector<uint8_t> nonzero_mask(const CaseVoxels& voxels);

}  // namespace vmae::nnunet
