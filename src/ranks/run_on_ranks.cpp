#include "vmae/ranks/run_on_ranks.h"

#include <c10/util/Logging.h>

#include <cstdlib>
#include <iostream>
#include <optional>

#include "rendezvous.h"
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

// An error that leaves a thread of its own, such as NCCL's watcher when another rank is gone, would end this process by
// abort (134) and without a word of rank 0.
train::World* world_to_end = nullptr;

[[noreturn]] void end_with_all_ranks() {
  if (world_to_end == nullptr) std::abort();
  try {
    if (std::current_exception()) std::rethrow_exception(std::current_exception());
  } catch (const c10::DistError& problem) {
    world_to_end->fail(train::LostContact(concat("an exchange between GPUs failed: ", train::reason_of(problem))));
  } catch (const std::exception& problem) {
    world_to_end->fail(error_of(problem));
  }
  std::abort();
}

}  // namespace

ExitCode run_on_ranks(const std::function<ExitCode(train::World&)>& command) {
  const Launch launch = find_launch();
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
  world_to_end = &world;
  std::set_terminate(end_with_all_ranks);
  try {
    const ExitCode code = command(world);
    world.finish();
    world_to_end = nullptr;
    return for_launcher(code, launch);
  } catch (const std::exception& error) {
    if (const auto* lost = dynamic_cast<const train::LostContact*>(&error)) world.fail(*lost);
    world.fail(error_of(error));
  }
  return ExitCode::internal;  // not reached: fail() ends the process
}

}  // namespace vmae::run
