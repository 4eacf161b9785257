#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>

#include "commands.h"

namespace vmae::app {

// OpenMP's threads wait for work by spinning, which on a machine with other work (or with our own reader threads) costs up to 15 times the training speed.
// The library reads its setting when it is loaded, so it has to be in the environment before: the program starts itself once more.
void wait_without_spinning(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  setenv("OMP_WAIT_POLICY", "passive", 1);
  execv("/proc/self/exe", argv);  // returns only where it is not possible; then we go on as we are
}

// CLI11 says only that a subcommand is required.
void check_subcommand(const CLI::App& app, const std::string& word) {
  if (word.empty() || word.front() == '-') return;
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands(nullptr)) names.push_back(command->get_name());
  if (std::find(names.begin(), names.end(), word) != names.end()) return;
  const std::string nearest = did_you_mean(word, names);
  throw Error(ExitCode::usage, concat("unknown command '", word, "'"),
              nearest.empty() ? "the commands are: " + join(names, ", ") : "did you mean '" + nearest + "'?");
}

void check_flags(const CLI::App& app, const std::vector<std::string>& arguments) {
  const CLI::App* command = nullptr;
  for (const CLI::App* one : app.get_subcommands(nullptr)) command = arguments.size() > 1 && one->get_name() == arguments[1] ? one : command;
  if (command == nullptr) return;
  std::vector<std::string> flags;
  bool has_keys = false;
  for (const CLI::Option* option : command->get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    has_keys |= option->get_name() == "overrides";
  }
  for (size_t i = 2; i < arguments.size() && arguments[i] != "--"; ++i) {
    const std::string word = arguments[i].substr(0, arguments[i].find('='));
    if (!word.starts_with("--") || word.size() == 2 || std::find(flags.begin(), flags.end(), word) != flags.end()) continue;
    const bool is_key = has_keys && word.find('.') != std::string::npos;
    const std::string nearest = is_key ? arguments[i].substr(2) + (word == arguments[i] ? "=VALUE" : "") : did_you_mean(word, flags);
    throw Error(ExitCode::usage, concat("unknown option '", word, "'"),
                nearest.empty() ? concat("see vmae ", arguments[1], " --help") : concat("did you mean '", nearest, "'?"));
  }
}

}  // namespace vmae::app
