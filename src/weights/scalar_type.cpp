#include "scalar_type.h"

namespace vmae::weights {
namespace {

// Of kDtypes, in its order.
constexpr std::array<at::ScalarType, kDtypes.size()> kTypes{
    at::kFloat,  at::kDouble, at::kHalf,   at::kBFloat16,      at::kLong,         at::kInt,
    at::kShort,  at::kChar,   at::kByte,   at::kBool,          at::kComplexFloat, at::kComplexDouble,
    at::kUInt16, at::kUInt32, at::kUInt64, at::kFloat8_e4m3fn, at::kFloat8_e5m2};

}  // namespace

at::ScalarType scalar_type(const Dtype& dtype) { return kTypes.at(static_cast<size_t>(&dtype - kDtypes.data())); }

const Dtype* find_dtype(at::ScalarType type) {
  const auto* found = std::find(kTypes.begin(), kTypes.end(), type);
  return found == kTypes.end() ? nullptr : &kDtypes.at(static_cast<size_t>(found - kTypes.begin()));
}

}  // namespace vmae::weights
