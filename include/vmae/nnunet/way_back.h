#pragma once
// From what the network says of a preprocessed case to the grid of the case itself: nnU-Net's
// convert_predicted_logits_to_segmentation_with_correct_shape, version 2.8.1.
#include <cstdint>
#include <span>
#include <vector>

#include "vmae/nnunet/labels.h"
#include "vmae/nnunet/plans.h"
#include "vmae/nnunet/preprocess.h"

namespace vmae::nnunet {

// Voxels in the order of CaseVoxels (fingerprint.h).
struct Prediction {
  std::vector<uint8_t> numbers;                   // of classes 1, 2, ..., or what regions are painted with
  std::vector<std::vector<float>> probabilities;  // by head: of the background and classes, or of regions
};

// logits: heads, slices, rows, columns of `of`, which preprocess() made with `plans`. Where the crop left voxels out
// is background. Probabilities stay empty unless they are asked for.
Prediction way_back(std::span<const float> logits, const PreprocessedCase& of, const Plans& plans, const Labels& labels,
                    bool with_probabilities);

}  // namespace vmae::nnunet
