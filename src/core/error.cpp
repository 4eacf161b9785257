#include "vmae/core/error.h"

#include <new>
#include <system_error>

namespace vmae {

Error error_of(const std::exception& problem) {
  if (const auto* error = dynamic_cast<const Error*>(&problem)) return *error;
  if (dynamic_cast<const std::bad_alloc*>(&problem) != nullptr)
    return {ExitCode::internal, "out of memory", "lower train.micro_batch or data.prefetch"};
  const auto* of_path = dynamic_cast<const std::filesystem::filesystem_error*>(&problem);
  if (of_path != nullptr && !of_path->path1().empty()) {
    const bool failed_us = of_path->code() == std::errc::no_space_on_device || of_path->code() == std::errc::io_error;
    return {failed_us ? ExitCode::internal : ExitCode::usage,
            concat(of_path->path1().string(), ": ", of_path->code().message()),
            failed_us ? "free some disk, or see to it" : "give another path, or make this one readable"};
  }
  return {ExitCode::internal, concat("internal error: ", problem.what()),
          "please report this with the command line and the log"};
}

}  // namespace vmae
