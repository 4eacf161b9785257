// The executable bin/vmae: runs the commands that need no LibTorch, and becomes libexec/vmae/vmae for all others.
#include <unistd.h>

#include <CLI/App.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "commands.h"
#include "vmae/core/log.h"

namespace {

namespace app = vmae::app;
namespace fs = std::filesystem;

[[noreturn]] void start_with_torch(char** argv) {
  app::set_wait_policy();
  std::error_code problem;
  const fs::path self = fs::read_symlink("/proc/self/exe", problem);
  fs::path program = self.parent_path().parent_path() / "libexec" / "vmae" / "vmae";
  if (problem) {
    program = "the program with LibTorch";
    vmae::log::error("/proc/self/exe can't be read: " + problem.message());
  } else {
    execv(program.c_str(), argv);
    problem = {errno, std::generic_category()};
  }
  vmae::log::error(vmae::concat(program.string(), " can't be started: ", problem.message()));
  vmae::log::error("  it belongs to this program: install or copy the folders bin and libexec (and lib) together");
  std::exit(static_cast<int>(vmae::ExitCode::internal));
}

struct Command {
  std::string_view name;
  void (*add)(CLI::App& app, app::Context& context, char** argv);
};
constexpr Command kCommands[] = {
    {"eval", [](CLI::App& app, app::Context& context, char**) { app::add_eval(app, context); }},
    {"compare", [](CLI::App& app, app::Context& context, char**) { app::add_compare(app, context); }},
    {"prepare", [](CLI::App& app, app::Context& context, char**) { app::add_prepare(app, context); }},
    {"split", [](CLI::App& app, app::Context& context, char**) { app::add_split(app, context); }},
    {"plan", [](CLI::App& app, app::Context& context, char**) { app::add_plan(app, context); }},
    {"inspect", [](CLI::App& app, app::Context& context,
                   char** argv) { app::add_inspect(app, context, [argv](const auto&) { start_with_torch(argv); }); }},
    {"docs", [](CLI::App& app, app::Context& context, char**) { app::add_docs(app, context); }},
};

}  // namespace

int main(int argc, char** argv) {
  for (const Command& command : kCommands) {
    if (argc > 1 && command.name == argv[1])
      return app::run_command(argc, argv,
                              [&](CLI::App& app, app::Context& context) { command.add(app, context, argv); });
  }
  start_with_torch(argv);
}
