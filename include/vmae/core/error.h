#pragma once
// The one exception type. Its message says what is wrong, the value, what
// is allowed and where (file, line, key, case); the hint says what to do.
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>

#include "vmae/core/text.h"

namespace vmae {

// Exit codes that job scripts rely on (docs/exit-codes.md).
enum class ExitCode : int {
  ok = 0,
  internal = 1,     // a bug, or the machine failed us (out of memory, disk full outside a checkpoint)
  usage = 2,        // command line or config
  data = 3,         // input images, manifests, splits
  checkpoint = 4,   // checkpoints and weights
  non_finite = 5,   // the loss became NaN or infinite
  some_failed = 6,  // finished, but some cases failed
  stopped = 75,     // stopped early on a signal, checkpoint saved: start again with --resume
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& what, std::string hint = "")
      : std::runtime_error(what), code_(code), hint_(std::move(hint)) {}
  ExitCode code() const { return code_; }
  const std::string& hint() const { return hint_; }

 private:
  ExitCode code_;
  std::string hint_;
};

// Of whatever ends a command: an Error as it is; Error(usage) naming a path that the system can't use;
// Error(internal) of anything else.
Error error_of(const std::exception& problem);

// What a library's exceptions mean is asked of this first: of types that are not known here. nullopt: not one of them.
using ErrorOfLibrary = std::optional<Error> (*)(const std::exception& problem);
void set_error_of_library(ErrorOfLibrary meaning);

// Error(data): what is wrong with a file or folder.
[[noreturn]] inline void fail_file(const std::filesystem::path& file, const std::string& what,
                                   const std::string& hint = "") {
  throw Error(ExitCode::data, concat(file.string(), ": ", what), hint);
}

}  // namespace vmae
