#pragma once
// What a network's input looked like in training, so that prediction can say when it is given
// something else: weights say nothing else about it where files do not tell their modality.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmae/data/dataset.h"

namespace vmae::run {

// Of each channel the smallest and largest mean and standard deviation of an image,
// as the network is given it; and of the mean distance between the first and the
// last channel, where there are several: 0 for grey images in three channels.
struct InputStatistics {
  struct Range {
    double low = 0, high = 0;
  };
  std::vector<Range> mean, std, distance;
};

// Of up to 32 images, evenly spread over a training set; none where fewer than 16 can be read.
std::optional<InputStatistics> input_statistics(const data::Dataset& train, const data::AugmentOptions& augment);

// (n, C, H, W) -> (n) bool: one of these lies outside of what
// training saw, widened by a tenth of its width to both sides.
at::Tensor are_unlike(const at::Tensor& input, const InputStatistics& statistics);

std::string to_json(const InputStatistics& statistics);
std::optional<InputStatistics> input_statistics_of(const std::string& json);  // none where it says something else

}  // namespace vmae::run
