#pragma once
// Convolutions of 3 x 3.
#include <ATen/core/Tensor.h>
#include <torch/nn/modules/conv.h>

namespace vmae::nn {

// at::conv2d with padding 1: x (B, C, H, W), weight (O, C, 3, 3), bias (O) or undefined -> (B, O, H, W). Where a
// gradient will be asked for, in fp32 on a CPU with AVX2 (but not AVX-512), and where that is quicker, it's computed by
// Winograd's algorithm (Lavin & Gray 2016): values differ by about 1e-5 of the largest, and its backward pass can't be
// differentiated.
at::Tensor conv3x3(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// conv.forward(x), by conv3x3() if that is what it is.
at::Tensor convolve(torch::nn::Conv2dImpl& conv, const at::Tensor& x);

}  // namespace vmae::nn
