#pragma once
// What every command that runs on several ranks has in common: --nproc-per-node.
#include <CLI/App.hpp>
#include <functional>

#include "commands.h"
#include "torch_part.h"
#include "vmae/core/launch.h"

namespace vmae::app {

struct RankArguments {
  int64_t per_node = 0;

  CLI::Option* add_to(CLI::App& command) {
    return command
        .add_option("--nproc-per-node", per_node,
                    "start this many ranks on this machine, one per GPU; several machines: srun, torchrun or mpirun")
        ->type_name("N")
        ->check(CLI::Range(1, 1024));
  }

  // Starts the ranks, or is one of them and runs the command. read(): what needs neither other ranks nor LibTorch, such
  // as reading the config; false: there is nothing more to do. It comes before both, so that an error is said at once
  // and once. Ranks that a launcher has started read when they have met, so that the first says what another has found.
  ExitCode run(
      const Context& context, const std::function<ExitCode(train::World&)>& command,
      const std::function<bool()>& read = [] { return true; }) const {
    const Launch launch = find_launch();
    const bool starts = per_node > 0 && !is_local_rank();
    if (starts && launch.size > 1)
      throw Error(ExitCode::usage,
                  concat("--nproc-per-node = ", per_node, ", but ", launch.launcher, " has started ", launch.size,
                         " ranks already"),
                  "leave --nproc-per-node out");
    const bool is_alone = launch.size == 1;
    if (is_alone && !read()) return ExitCode::ok;
    if (starts) {
      require_torch();  // said once, not by every rank
      return static_cast<ExitCode>(run_local_ranks(per_node, context.arguments));
    }
    return torch_part().run_on_ranks(
        [&](train::World& world) { return is_alone || read() ? command(world) : ExitCode::ok; });
  }
};

}  // namespace vmae::app
