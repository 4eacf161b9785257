#pragma once
// What is done on the device to make a view of an image (Chen et al. 2020, appendix A): colour jitter, grey, blur.
// (The part of the image that a view shows, and its flips, are the loader's: augment.h.) Of every sample in
// one pass, with its own numbers, without waiting for the device. Images have values in [0, 1]; colours are
// those of 3 channels. Of other numbers of channels saturation, hue and grey leave the image as it is.
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "vmae/data/view_options.h"

namespace vmae::data {

enum class Jitter : int64_t { brightness, contrast, saturation, hue };

// A row or an entry for each of B samples.
struct ViewChanges {
  at::Tensor jitters;                   // (B) bool: whether the next three apply
  at::Tensor order;                     // (B, 4) long: Jitter, the first first
  at::Tensor factors;                   // (B, 3): of brightness, contrast, saturation
  at::Tensor hue;                       // (B): turn, as a share of the circle
  at::Tensor becomes_grey, is_blurred;  // (B) bool
  at::Tensor sigma;                     // (B): of the blur, in pixels
};

constexpr int64_t kViewDraws = 12;
// draws (B, kViewDraws) uniform in [0, 1)
ViewChanges view_changes(const at::Tensor& draws, const ViewOptions& options);

// image (B, C, H, W) in [0, 1] -> same
at::Tensor changed(const at::Tensor& image, const ViewChanges& changes, const ViewOptions& options);

// The steps of changed(), of all samples, as torchvision's functions of the same names on tensors.
at::Tensor to_grey(const at::Tensor& image);                             // (B, 3, H, W) -> (B, 1, H, W)
at::Tensor adjust_hue(const at::Tensor& image, const at::Tensor& turn);  // (B, 3, H, W); (B)
at::Tensor gaussian_blur(const at::Tensor& image, const at::Tensor& sigma, int64_t taps);  // (B); odd; reflects

}  // namespace vmae::data
