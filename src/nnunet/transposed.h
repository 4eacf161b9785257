#pragma once
// Sizes, spacings or strides along the axes of an image, in another order of the axes.
#include <array>
#include <cstddef>
#include <cstdint>

namespace vmae::nnunet {

template <class T>
std::array<T, 3> transposed(const std::array<T, 3>& values, const std::array<int64_t, 3>& order) {
  return {values[static_cast<size_t>(order[0])], values[static_cast<size_t>(order[1])],
          values[static_cast<size_t>(order[2])]};
}

}  // namespace vmae::nnunet
