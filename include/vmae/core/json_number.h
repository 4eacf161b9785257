#pragma once
// Numbers out of JSON files. nlohmann's own conversions cast whatever
// is there: undefined for 1e300 in the place of a count, or of a float.
#include <cmath>
#include <cstdint>
#include <optional>

namespace vmae::io {

// 3 and 3.0, as long as it is exact; none for anything else.
template <class Json>
std::optional<int64_t> whole_number(const Json& json) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  if (json.is_number_unsigned() && json.template get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
    return std::nullopt;
  if (json.is_number_integer()) return json.template get<int64_t>();
  if (!json.is_number_float()) return std::nullopt;
  const double number = json.template get<double>();
  if (number != std::floor(number) || std::abs(number) > kExact) return std::nullopt;
  return static_cast<int64_t>(number);
}

}  // namespace vmae::io
