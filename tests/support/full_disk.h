#pragma once
// A disk that is full after some bytes, for EXPECT_EXIT.
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/errors.h"

namespace vmae::test {

// Ends the process: with 42 if `write`, whose files may not grow past
// `limit` bytes, throws Error(internal) that says so and names the file.
template <class Write>
[[noreturn]] void end_on_full_disk(Write write, const std::string& name, rlim_t limit = 5000) {
  signal(SIGXFSZ, SIG_IGN);
  const rlimit limits{limit, limit};
  setrlimit(RLIMIT_FSIZE, &limits);
  const Error error = error_of(write);
  _exit(error.code() == ExitCode::internal && contains(error.what(), name) && contains(error.what(), "disk full") ? 42
                                                                                                                  : 1);
}

}  // namespace vmae::test
