#include "file_error.h"

#include <cerrno>
#include <system_error>

#include "vmae/core/error.h"

namespace vmae {

void throw_file_error(const char* action, const std::filesystem::path& path, int error_number) {
  const std::filesystem::path folder = path.parent_path();
  std::error_code ignored;
  const std::string problem =
      concat("cannot ", action, " ", path.string(), ": ", std::generic_category().message(error_number));
  if (error_number == ENOENT && !folder.empty() && !std::filesystem::exists(folder, ignored))
    throw Error(ExitCode::usage, concat(problem, ": the folder ", folder.string(), " does not exist"),
                concat("make it (mkdir -p ", folder.string(), "), or choose another"));
  if (error_number == EACCES || error_number == EROFS || error_number == EPERM)
    throw Error(ExitCode::usage, problem, "choose a folder that you may write to");
  throw Error(ExitCode::internal, problem);
}

void throw_write_error(const std::filesystem::path& path, int error_number, size_t written, size_t needed) {
  if (error_number != ENOSPC && error_number != EDQUOT && error_number != EFBIG)
    throw_file_error("write", path, error_number);
  throw Error(ExitCode::internal,
              concat("cannot write ", path.string(), ": disk full (", std::generic_category().message(error_number),
                     "): ", needed, " more bytes were needed (", human_bytes(static_cast<double>(needed)), ") after ",
                     written, " written"),
              "free some space, or raise the quota or the file size limit (ulimit -f), and start again");
}

}  // namespace vmae
