#pragma once
// What shells and `man` are told of the commands, from the declarations that --help prints.
#include <CLI/App.hpp>
#include <string>

namespace vmae::app {

// app: with all commands.
std::string bash_completion(const CLI::App& app);
std::string zsh_completion(const CLI::App& app);
std::string fish_completion(const CLI::App& app);
std::string man_page(const CLI::App& app);

}  // namespace vmae::app
