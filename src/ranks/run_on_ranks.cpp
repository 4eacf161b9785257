#include "vmae/ranks/run_on_ranks.h"

#include <c10/util/Logging.h>

#include <cstdlib>
#include <iostream>
#include <optional>

#include "vmae/core/counting.h"
#include "vmae/core/launch.h"
#include "vmae/core/log.h"
#include "vmae/core/signals.h"
#include "vmae/ranks/world.h"

namespace vmae::run {

namespace {

// torchrun's agent would take 75 for a failure and start the ranks again.
ExitCode for_launcher(ExitCode code, const Launch& launch) {
  return code == ExitCode::stopped && launch.is_restarted_on_failure ? ExitCode::ok : code;
}

}  // namespace

ExitCode run_on_ranks(const std::function<ExitCode(train::World&)>& command) {
  const Launch launch = find_launch([](const char* name) { return std::getenv(name); });
  if (launch.rank > 0) {
    log::set_level(log::Level::nothing);
    set_counting_listener({});
    std::cout.rdbuf(nullptr);
  }
  // Launchers send SIGTERM to all ranks as soon as one has failed: it must not end the one that prints why.
  if (launch.size > 1) install_stop_signals();
  // c10d prints a stack for every connection that it tries twice; what matters comes as an exception.
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = 2;
  std::optional<train::World> joined;
  try {
    joined.emplace(launch);
  } catch (const Error&) {
    log::set_level(log::Level::info);  // rank 0 can't hear of it
    throw;
  }
  train::World& world = *joined;
  if (world.size() == 1) return for_launcher(command(world), launch);
  try {
    const ExitCode code = command(world);
    world.finish();
    return for_launcher(code, launch);
  } catch (const std::exception& error) {
    if (const auto* lost = dynamic_cast<const train::LostContact*>(&error)) world.fail(*lost);
    world.fail(error_of(error));
  }
  return ExitCode::internal;  // not reached: fail() ends the process
}

}  // namespace vmae::run
