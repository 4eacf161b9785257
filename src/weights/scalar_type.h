#pragma once
// LibTorch's names of the kinds of numbers in files.
#include <c10/core/ScalarType.h>

#include "vmae/weights/dtype.h"

namespace vmae::weights {

at::ScalarType scalar_type(const Dtype& dtype);
const Dtype* find_dtype(at::ScalarType type);  // nullptr: no file holds it

}  // namespace vmae::weights
