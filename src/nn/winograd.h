#pragma once
// Convolutions of 3 x 3 with padding 1 by Winograd's F(4 x 4, 3 x 3) (Lavin & Gray 2016): a tile of 4 x 4 results takes
// 36 products for each pair of channels instead of 144. In single precision its roundings come to about 1e-5 of the
// largest result, ten times those of the sum itself. Tensors are float, on the CPU; all numbers of channels are
// multiples of kLanes.
#include <ATen/core/Tensor.h>

namespace vmae::nn::winograd {

constexpr int64_t kLanes = 8, kTile = 4;

bool is_supported();  // by this CPU: AVX2 and FMA, but not AVX-512, where LibTorch's own have not been compared
constexpr int64_t tiles_per_side(int64_t pixels) { return (pixels + kTile - 1) / kTile; }

// x (N, C, H, W), weight (O, C, 3, 3), bias (O) or undefined -> (N, O, H, W)
at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
// Gradients of that, given the one of its result (N, O, H, W): of x, and of weight.
at::Tensor grad_input(const at::Tensor& grad, const at::Tensor& weight);
at::Tensor grad_weight(const at::Tensor& grad, const at::Tensor& x);

}  // namespace vmae::nn::winograd
