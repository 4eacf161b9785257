#pragma once
// The kinds of numbers that files of weights hold, and what each format calls them.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace vmae::weights {

struct Dtype {
  std::string_view name;                // as Python's torch calls it
  std::string_view safetensors, numpy;  // "": not read from, or written to, that format
  int64_t bytes = 0;
  bool has_storage_class = true;  // in Python: what write_pth() can write
};
inline constexpr std::array<Dtype, 17> kDtypes{{{"float32", "F32", "<f4", 4},
                                                {"float64", "F64", "<f8", 8},
                                                {"float16", "F16", "<f2", 2},
                                                {"bfloat16", "BF16", "", 2},
                                                {"int64", "I64", "<i8", 8},
                                                {"int32", "I32", "<i4", 4},
                                                {"int16", "I16", "<i2", 2},
                                                {"int8", "I8", "|i1", 1},
                                                {"uint8", "U8", "|u1", 1},
                                                {"bool", "BOOL", "|b1", 1},
                                                {"complex64", "", "", 8},
                                                {"complex128", "", "", 16},
                                                {"uint16", "U16", "", 2, false},
                                                {"uint32", "U32", "", 4, false},
                                                {"uint64", "U64", "", 8, false},
                                                {"float8_e4m3fn", "F8_E4M3", "", 1, false},
                                                {"float8_e5m2", "F8_E5M2", "", 1, false}}};

// E.g. find_dtype(&Dtype::safetensors, "F32"); nullptr: there is none of that name.
inline const Dtype* find_dtype(std::string_view Dtype::*format, std::string_view name) {
  const auto* found =
      std::find_if(kDtypes.begin(), kDtypes.end(), [&](const Dtype& dtype) { return dtype.*format == name; });
  return found == kDtypes.end() || name.empty() ? nullptr : found;
}

}  // namespace vmae::weights
