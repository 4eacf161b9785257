// The executable bin/vmae: all commands. What some of them do with tensors is loaded when they run (torch_part.h).
#include <CLI/App.hpp>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "commands.h"
#include "torch_part.h"

namespace {

void add_commands(CLI::App& app, vmae::app::Context& context) {
  vmae::app::add_pretrain(app, context);
  vmae::app::add_finetune_seg(app, context);
  vmae::app::add_finetune_cls(app, context);
  vmae::app::add_predict(app, context);
  vmae::app::add_features(app, context);
  vmae::app::add_eval(app, context);
  vmae::app::add_compare(app, context);
  vmae::app::add_prepare(app, context);
  vmae::app::add_split(app, context);
  vmae::app::add_plan(app, context);
  vmae::app::add_forward(app, context);
  vmae::app::add_export(app, context);
  vmae::app::add_inspect(app, context);
  vmae::app::add_doctor(app, context);
  vmae::app::add_bench(app, context);
  vmae::app::add_docs(app, context);
}

}  // namespace

int main(int argc, char** argv) {
  const int code = vmae::app::run_command(argc, argv, add_commands);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)  // of GCC, which the presets asan and tsan use
  return code;                                                     // sanitizers report at an ordinary end
#endif
  if (!vmae::app::is_torch_part_loaded()) return code;
  // Without what LibTorch takes apart of its tables of operators at an ordinary end: a third of an empty run's time.
  std::cout.flush();
  std::fflush(nullptr);
  std::_Exit(code);
}
