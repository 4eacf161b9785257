#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>

#include "commands.h"
#include "vmae/core/log.h"
#include "vmae/core/version.h"
#include "vmae/runs/counting_bar.h"

namespace vmae::app {

namespace {

int report(const Error& error) {
  log::error(error.what());
  if (!error.hint().empty()) log::error("  " + error.hint());
  return static_cast<int>(error.code());
}

// What was printed but is lost, as on a full disk, must not pass for done. A reader that leaves a pipe has what it
// wants.
int with_output(int code) {
  std::cout.flush();
  struct stat status {};
  const bool is_silent = std::cout.rdbuf() == nullptr;  // a rank that is not the first
  const bool is_lost = !is_silent && (std::fflush(nullptr) != 0 || !std::cout);
  if (code != 0 || !is_lost || fstat(STDOUT_FILENO, &status) != 0 || S_ISFIFO(status.st_mode) ||
      S_ISSOCK(status.st_mode))
    return code;
  return report({ExitCode::internal, "standard output can't be written to: what this command printed is lost",
                 "make room where it goes"});
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
  for (const CLI::App* one : app.get_subcommands(nullptr))
    command = arguments.size() > 1 && one->get_name() == arguments[1] ? one : command;
  if (command == nullptr) return;
  std::vector<std::string> flags;
  bool has_keys = false;
  for (const CLI::Option* option : command->get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    has_keys |= option->get_name() == "overrides";
  }
  for (size_t i = 2; i < arguments.size() && arguments[i] != "--"; ++i) {
    const std::string word = arguments[i].substr(0, arguments[i].find('='));
    if (!word.starts_with("--") || word.size() == 2 || std::find(flags.begin(), flags.end(), word) != flags.end())
      continue;
    const bool is_key = has_keys && word.find('.') != std::string::npos;
    std::string nearest = is_key ? arguments[i].substr(2) : did_you_mean(word, flags);
    if (is_key && word == arguments[i]) nearest += "=VALUE";
    throw Error(
        ExitCode::usage, concat("unknown option '", word, "'"),
        nearest.empty() ? concat("see vmae ", arguments[1], " --help") : concat("did you mean '", nearest, "'?"));
  }
}

}  // namespace

int run_command(int argc, char** argv, const AddCommands& add_commands) {
  std::signal(SIGXFSZ, SIG_IGN);  // a full quota is an error of write(), not the end of the process
  std::signal(SIGPIPE, SIG_IGN);

  const run::CountingBar counting_bar;
  Context context;
  context.arguments = {argv, argv + argc};
  context.command_line = join(context.arguments, " ");
  CLI::App app{concat("vmae: ", kPurpose,
                      "\n\nTry `vmae doctor` first. VMAE_TORCH=FOLDER says which PyTorch is used (vmae docs man has "
                      "more of these).\nExit codes: ",
                      kExitCodes),
               "vmae"};
  app.set_version_flag("--version", concat("vmae ", version(), " (", git_revision(), "), for PyTorch ", torch_version(),
                                           ", ", build_summary()));
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  add_commands(app, context);
  try {
    if (argc == 1) {
      std::cout << app.help();
      return report({ExitCode::usage, "no command is given", "the commands are above; vmae COMMAND --help says more"});
    }
    check_subcommand(app, argv[1]);
    check_flags(app, context.arguments);
    app.parse(argc, argv);
    return with_output(static_cast<int>(context.exit_code));
  } catch (const CLI::ParseError& error) {
    return with_output(app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::usage));
  } catch (const std::exception& error) {
    return report(error_of(error));
  }
}

}  // namespace vmae::app
