#pragma once
// One function per subcommand: declares its arguments and what to do when it was called. The exit code goes to
// `exit_code`.
#include <CLI/App.hpp>
#include <array>
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

// What users may set in the environment; name and meaning.
inline constexpr std::array<std::array<const char*, 2>, 5> kEnvironment{{
    {"VMAE_TORCH",
     "the folder `torch` of the PyTorch to use, as pip installs it; otherwise it is looked for in LD_LIBRARY_PATH, "
     "beside the program, and in the active python3 (vmae doctor says which is in use)"},
    {"OMP_WAIT_POLICY", "passive unless it is set: threads that wait sleep. How many there are is run.threads"},
    {"PYTORCH_ALLOC_CONF", "of the allocator on GPUs; expandable segments unless it is set"},
    {"NVIDIA_TF32_OVERRIDE", "0: fp32 on a GPU without TF32"},
    {"XDG_CONFIG_HOME", "where the salt for pseudonyms is kept: in vmae/salt; ~/.config unless it is set"},
}};

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
