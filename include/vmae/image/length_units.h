#pragma once
#include <optional>
#include <string>

namespace vmae::io {

// Millimetres of a unit of length as headers name it ("mm", "Micrometers"), in any case; empty of an unknown one.
std::optional<double> millimetres_of(const std::string& unit);

}  // namespace vmae::io
