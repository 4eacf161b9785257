// The executable `vmae`: parses the command line, runs one subcommand, turns every error into a message and its exit code.
#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>
#include <new>

#include "commands.h"
#include "vmae/core/log.h"
#include "vmae/core/version.h"
#include "vmae/run/counting_bar.h"
#include "vmae/train/cpu_allocator.h"

namespace {

int report(const vmae::Error& error) {
  vmae::log::error(error.what());
  if (!error.hint().empty()) vmae::log::error("  " + error.hint());
  return static_cast<int>(error.code());
}

}  // namespace

int main(int argc, char** argv) {
  vmae::app::wait_without_spinning(argv);
  std::signal(SIGXFSZ, SIG_IGN);  // a full quota is an error of write(), not the end of the process
  std::signal(SIGPIPE, SIG_IGN);
  vmae::train::install_cpu_allocator();

  const vmae::run::CountingBar counting_bar;
  vmae::app::Context context;
  context.arguments = {argv, argv + argc};
  context.command_line = vmae::join(context.arguments, " ");
  CLI::App app{
      "vmae: self-supervised pretraining, fine-tuning, prediction and evaluation of medical image models\n\nTry `vmae doctor` first. Exit codes: 0 ok, 1 "
      "internal, 2 usage "
      "or config, 3 data,\n"
      "4 checkpoint or weights, 5 loss not finite, 6 some cases failed, 75 stopped by a signal\nwith the checkpoint saved (start again with --resume).",
      "vmae"};
  app.set_version_flag("--version", vmae::concat("vmae ", vmae::version(), " (", vmae::git_revision(), "), ", vmae::build_summary()));
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  vmae::app::add_pretrain(app, context);
  vmae::app::add_finetune_seg(app, context);
  vmae::app::add_finetune_cls(app, context);
  vmae::app::add_predict(app, context);
  vmae::app::add_features(app, context);
  vmae::app::add_eval(app, context);
  vmae::app::add_compare(app, context);
  vmae::app::add_prepare(app, context);
  vmae::app::add_split(app, context);
  vmae::app::add_forward(app, context);
  vmae::app::add_export(app, context);
  vmae::app::add_inspect(app, context);
  vmae::app::add_doctor(app, context);
  vmae::app::add_bench(app, context);
  vmae::app::add_docs(app, context);
  try {
    if (argc == 1) {
      std::cout << app.help();
      return report({vmae::ExitCode::usage, "no command is given", "the commands are above; vmae COMMAND --help says more"});
    }
    vmae::app::check_subcommand(app, argv[1]);
    vmae::app::check_flags(app, context.arguments);
    app.parse(argc, argv);
    return static_cast<int>(context.exit_code);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(vmae::ExitCode::usage);
  } catch (const vmae::Error& error) {
    return report(error);
  } catch (const std::bad_alloc&) {
    return report({vmae::ExitCode::internal, "out of memory", "lower train.micro_batch or data.prefetch"});
  } catch (const std::exception& error) {
    return report({vmae::ExitCode::internal, vmae::concat("internal error: ", error.what()), "please report this with the command line and the log"});
  }
}
