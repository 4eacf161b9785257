#pragma once
// Dropout (Srivastava et al. 2014) whose mask is a pure function of one number per sample: the same whatever
// the batch, the number of ranks and the device.
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace vmae::nn {

// Which of a sample's `count` values are kept, (B, count) bool, each with probability 1 - rate. draws (B): uniform
// float32 in [0, 1) of 24 bits (data::uniform_draws). Value i is kept where a hash of (draw, i), 32 bits, is at
// least rate * 2^32: a counter-based generator in operations on whole numbers, of which none overflows 64 bits.
at::Tensor dropout_mask(const at::Tensor& draws, int64_t count, double rate);

// x (B, ...): each value 0 with probability `rate`, else divided by 1 - rate; draws undefined, or rate 0: x itself.
at::Tensor dropout(const at::Tensor& x, const at::Tensor& draws, double rate);

}  // namespace vmae::nn
