#pragma once
// `vmae docs`: the pages of the documentation that are generated.
#include <string>

namespace vmae::run {

// docs/configuration.md and configs/default.yaml, from the declarations of the options.
std::string configuration_page();
std::string default_config();

// The configs that vmae brings: the name of each, and the first line of its comment.
std::string list_of_configs();

}  // namespace vmae::run
