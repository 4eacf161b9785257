#pragma once
// One function per subcommand: declares its arguments and what to do when it was called. The exit code goes to
// `exit_code`. Two programs are made of them. bin/vmae has the commands that need no LibTorch, whose start takes
// longer than most of what they do, and starts libexec/vmae/vmae for all others; that one has all commands.
#include <CLI/App.hpp>
#include <functional>
#include <string>
#include <vector>

#include "vmae/core/error.h"

namespace vmae::run {
struct InspectArguments;
}

namespace vmae::app {

struct Context {
  std::string command_line;
  std::vector<std::string> arguments;
  ExitCode exit_code = ExitCode::ok;
};

// OpenMP's threads are to sleep while they wait, unless the environment says otherwise. The library reads that
// when it is loaded, so it has to be said before the program with LibTorch starts. True if it was not said yet.
bool set_wait_policy();

using AddCommands = std::function<void(CLI::App& app, Context& context)>;
// Runs the command that the arguments name, and turns every error into a message and its exit code, which is returned.
int run_command(int argc, char** argv, const AddCommands& add_commands);

void add_pretrain(CLI::App& app, Context& context);
void add_finetune_seg(CLI::App& app, Context& context);
void add_finetune_cls(CLI::App& app, Context& context);
void add_predict(CLI::App& app, Context& context);
void add_features(CLI::App& app, Context& context);
void add_eval(CLI::App& app, Context& context);
void add_compare(CLI::App& app, Context& context);
void add_prepare(CLI::App& app, Context& context);
void add_split(CLI::App& app, Context& context);
void add_plan(CLI::App& app, Context& context);
void add_forward(CLI::App& app, Context& context);
void add_export(CLI::App& app, Context& context);
// with_torch: inspects what run::needs_torch().
void add_inspect(CLI::App& app, Context& context, const std::function<void(const run::InspectArguments&)>& with_torch);
void add_doctor(CLI::App& app, Context& context);
void add_bench(CLI::App& app, Context& context);
void add_docs(CLI::App& app, Context& context);

}  // namespace vmae::app
