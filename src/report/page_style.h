#pragma once
#include <string_view>

namespace vmae::report {

std::string_view page_style();  // CSS

}  // namespace vmae::report
