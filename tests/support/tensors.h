#pragma once
#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace vmae::test {

inline double max_abs_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

// Largest difference as a share of the largest expected value.
inline double relative_difference(const at::Tensor& actual, const at::Tensor& expected) {
  return max_abs_difference(actual, expected) / expected.to(at::kDouble).abs().max().item<double>();
}

inline bool same_bits(const at::Tensor& a, const at::Tensor& b) { return a.sizes() == b.sizes() && at::equal(a, b); }

}  // namespace vmae::test
