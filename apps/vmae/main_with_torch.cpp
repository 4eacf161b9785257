// The executable libexec/vmae/vmae, with all commands; bin/vmae starts it. The target vmae_one_file is it alone, in one
// file.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "commands.h"
#include "vmae/cuda/library.h"
#include "vmae/inspect/inspect.h"
#include "vmae/train/cpu_allocator.h"

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
  vmae::app::add_inspect(app, context,
                         [](const auto& arguments) { vmae::run::inspect_with_torch(arguments, std::cout); });
  vmae::app::add_doctor(app, context);
  vmae::app::add_bench(app, context);
  vmae::app::add_docs(app, context);
}

}  // namespace

int main(int argc, char** argv) {
  // once more; returns only where it is not possible: then we go on as we are
  if (vmae::app::set_wait_policy()) execv("/proc/self/exe", argv);
  vmae::cuda::load();
  vmae::train::install_cpu_allocator();
  const int code = vmae::app::run_command(argc, argv, add_commands);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)  // of GCC, which the presets asan and tsan use
  return code;                                                     // sanitizers report at an ordinary end
#endif
  // Without what LibTorch takes apart of its tables of operators at an ordinary end: a third of an empty run's time.
  std::cout.flush();
  std::fflush(nullptr);
  std::_Exit(code);
}
