#include "vmae/tasks/session.h"

#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/core/version.h"
#include "vmae/runs/model_names.h"
#include "vmae/train/device.h"
#include "vmae/weights/safetensors.h"

namespace vmae::run {

Session::Session(const RunOptions& run_options, const TrainArguments& run_arguments, const std::string& command,
                 train::World& run_world)
    : options(run_options),
      arguments(run_arguments),
      world(run_world),
      device(train::resolve_device(run_options.device, run_world.launch().local_rank)),
      if_exists(run_arguments.if_exists) {
  world.connect(device, options.timeout_s);
  train::configure_compute(device, options.threads, options.deterministic);
  if (!arguments.dry_run && world.is_first()) {
    if_exists = train::after_restart(options.dir, world.launch(), if_exists);
    folder = std::make_unique<train::RunFolder>(options.dir, if_exists, world.launch());
    log::add_file(folder->log());
  }
  begins_anew = folder && folder->is_failed_start();
  asked_to_resume = begins_anew && if_exists == train::IfExists::resume;
  if (begins_anew) if_exists = train::IfExists::overwrite;
  if_exists = static_cast<train::IfExists>(std::stoi(world.broadcast(std::to_string(static_cast<int>(if_exists)))));
  log::info(concat(
      "vmae ", version(), " (", git_revision(), ") ", command, " on ", device.str(),
      world.size() > 1 ? concat(", rank 0 of ", world.size(), " (started by ", world.launch().launcher, ")") : ""));
  if (begins_anew)
    log::info(concat("run.dir = ", options.dir, " holds a start that left no checkpoint: the run begins anew"));
}

void require_own_model(const Session& session, const std::string& model_name) {
  if (!session.folder || !session.resumes()) return;
  weights::Metadata metadata;
  try {
    metadata = weights::read_stored(session.folder->last_checkpoint()).metadata;
  } catch (const Error&) {  // said, with what to do, when all of it is read
    return;
  }
  const auto theirs = metadata.find("model");
  if (theirs == metadata.end() || theirs->second == model_name) return;
  throw Error(ExitCode::checkpoint,
              concat(session.options.dir, " is a run of ", theirs->second, ", but this one trains ", model_name),
              concat("go on with `", training_command_of(theirs->second), "`, or give another run.dir"));
}

}  // namespace vmae::run
