#pragma once
// Instance norm and leaky ReLU as one operator.
#include <ATen/core/Tensor.h>

namespace vmae::nn {

constexpr double kNegativeSlope = 0.01;    // of leaky ReLU
constexpr double kInstanceNormEps = 1e-5;  // added to the variance

// leaky_relu(instance_norm(x)): x (B, C, H, W), weight and bias (C) -> (B, C, H, W). Ulyanov et al. 2016. On a CPU in
// fp32 a plane is read while it is in the cache, and x and four numbers a plane are kept for the backward pass, which
// can be differentiated no further.
at::Tensor instance_norm_leaky(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace vmae::nn
