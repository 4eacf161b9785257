#pragma once
// `vmae docs`: the pages of the documentation that are generated.
#include <string>

namespace vmae::run {

// docs/configuration.md and configs/default.yaml, from the declarations of the options.
std::string configuration_page();
std::string default_config();

}  // namespace vmae::run
