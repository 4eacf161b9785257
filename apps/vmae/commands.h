#pragma once
// One function per subcommand: declares its arguments and what to do when it was called. The exit code goes to
// `exit_code`.
#include <CLI/App.hpp>
#include <functional>
#include <string>
#include <vector>

#include "vmae/core/error.h"

namespace vmae::app {

// Of the program, as --help and the manual page say it.
inline constexpr const char* kPurpose =
    "self-supervised pretraining, fine-tuning, prediction and evaluation of medical image models";
inline constexpr const char* kExitCodes =
    "0 ok, 1 internal, 2 usage or config, 3 data,\n4 checkpoint or weights, 5 loss not finite, 6 some cases failed, 75 "
    "stopped by a signal\nwith the checkpoint saved (start again with --resume).";

struct Context {
  std::string command_line;
  std::vector<std::string> arguments;
  ExitCode exit_code = ExitCode::ok;
};

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
void add_inspect(CLI::App& app, Context& context);
void add_doctor(CLI::App& app, Context& context);
void add_bench(CLI::App& app, Context& context);
void add_docs(CLI::App& app, Context& context);

}  // namespace vmae::app
