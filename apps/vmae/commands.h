#pragma once
// One function per subcommand: declares its arguments and what to do when it was called. The exit code goes to `exit_code`.
#include <CLI/App.hpp>
#include <string>
#include <vector>

#include "vmae/core/error.h"

namespace vmae::app {

struct Context {
  std::string command_line;
  std::vector<std::string> arguments;
  ExitCode exit_code = ExitCode::ok;
};

// Both are called by main before the command line is parsed.
void wait_without_spinning(char** argv);
void check_subcommand(const CLI::App& app, const std::string& word);               // throws Error(usage) with "did you mean"
void check_flags(const CLI::App& app, const std::vector<std::string>& arguments);  // the same of a command's options, and of keys written as --key=value

void add_pretrain(CLI::App& app, Context& context);
void add_finetune_seg(CLI::App& app, Context& context);
void add_finetune_cls(CLI::App& app, Context& context);
void add_predict(CLI::App& app, Context& context);
void add_features(CLI::App& app, Context& context);
void add_eval(CLI::App& app, Context& context);
void add_compare(CLI::App& app, Context& context);
void add_prepare(CLI::App& app, Context& context);
void add_split(CLI::App& app, Context& context);
void add_forward(CLI::App& app, Context& context);
void add_export(CLI::App& app, Context& context);
void add_inspect(CLI::App& app, Context& context);
void add_doctor(CLI::App& app, Context& context);
void add_bench(CLI::App& app, Context& context);
void add_docs(CLI::App& app, Context& context);

}  // namespace vmae::app
