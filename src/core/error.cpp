#include "vmae/core/error.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <new>
#include <system_error>

namespace vmae {

namespace {

// Not what fails on the way: a disk, a server, a file that went.
bool is_of_the_path(const std::error_code& code) {
  constexpr std::errc kOfThePath[] = {std::errc::filename_too_long, std::errc::too_many_symbolic_link_levels,
                                      std::errc::permission_denied, std::errc::not_a_directory,
                                      std::errc::is_a_directory,    std::errc::read_only_file_system};
  return std::any_of(std::begin(kOfThePath), std::end(kOfThePath), [&](std::errc one) { return code == one; });
}

ErrorOfLibrary error_of_library = [](const std::exception&) { return std::optional<Error>(); };

}  // namespace

void set_error_of_library(ErrorOfLibrary meaning) { error_of_library = meaning; }

Error error_of(const std::exception& problem) {
  if (const auto* error = dynamic_cast<const Error*>(&problem)) return *error;
  if (dynamic_cast<const std::bad_alloc*>(&problem) != nullptr)
    return {ExitCode::internal, "out of memory", "lower train.micro_batch or data.prefetch"};
  if (const std::optional<Error> of_library = error_of_library(problem)) return *of_library;
  const auto* of_path = dynamic_cast<const std::filesystem::filesystem_error*>(&problem);
  const bool names_one = of_path != nullptr && !of_path->path1().empty();
  if (names_one && (of_path->code() == std::errc::no_space_on_device || of_path->code().value() == EDQUOT))
    return {ExitCode::internal, concat(of_path->path1().string(), ": ", of_path->code().message()), "free some disk"};
  if (names_one && is_of_the_path(of_path->code())) {
    const std::string second = of_path->path2().empty() ? "" : " or " + of_path->path2().string();
    return {ExitCode::usage, concat(of_path->path1().string(), second, ": ", of_path->code().message()),
            "give another path, or see that this one can be used"};
  }
  return {ExitCode::internal, concat("internal error: ", problem.what()),
          "please report this with the command line and the log"};
}

}  // namespace vmae
