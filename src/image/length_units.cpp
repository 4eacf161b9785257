#include "vmae/image/length_units.h"

#include <algorithm>
#include <vector>

#include "vmae/core/text.h"

namespace vmae::io {

std::optional<double> millimetres_of(const std::string& unit) {
  struct Unit {
    double mm;
    std::vector<const char*> names;
  };
  static const std::vector<Unit> units{{1, {"mm", "millimeter", "millimeters", "millimetre", "millimetres"}},
                                       {10, {"cm", "centimeter", "centimeters", "centimetre", "centimetres"}},
                                       {1000, {"m", "meter", "meters", "metre", "metres"}},
                                       {1e-3,
                                        {"um", "\xC2\xB5m", "\xCE\xBCm", "\xB5m", "\\u00b5m", "micron", "microns",
                                         "micrometer", "micrometers", "micrometre", "micrometres"}},
                                       {1e-6, {"nm", "nanometer", "nanometers", "nanometre", "nanometres"}}};
  for (const Unit& one : units) {
    if (std::find(one.names.begin(), one.names.end(), to_lower(unit)) != one.names.end()) return one.mm;
  }
  return std::nullopt;
}

}  // namespace vmae::io
