#pragma once
// As CLI::PositiveNumber and CLI::NonNegativeNumber, whose messages name the largest number that there is.
#include <CLI/Validators.hpp>
#include <string>

#include "vmae/core/text.h"

namespace vmae::app {

inline CLI::Validator positive() {
  return {[](std::string& text) {
            return parse_number(text).value_or(0) > 0 ? "" : concat("'", text, "' is no number above 0");
          },
          "POSITIVE"};
}

inline CLI::Validator non_negative() {
  return {[](std::string& text) {
            return parse_number(text).value_or(-1) >= 0 ? "" : concat("'", text, "' is no number from 0 on");
          },
          "NONNEGATIVE"};
}

}  // namespace vmae::app
