#include "file_error.h"

#include <cerrno>
#include <system_error>

#include "vmae/core/error.h"

namespace vmae {

void throw_file_error(const char* action, const std::filesystem::path& path, int error_number) {
  throw Error(ExitCode::internal, concat("cannot ", action, " ", path.string(), ": ", std::generic_category().message(error_number)));
}

void throw_write_error(const std::filesystem::path& path, int error_number, size_t written, size_t needed) {
  if (error_number != ENOSPC && error_number != EDQUOT && error_number != EFBIG) throw_file_error("write", path, error_number);
  throw Error(ExitCode::internal,
              concat("cannot write ", path.string(), ": disk full (", std::generic_category().message(error_number), "): ", needed, " more bytes were needed (",
                     human_bytes(static_cast<double>(needed)), ") after ", written, " written"),
              "free some space, or raise the quota or the file size limit (ulimit -f), and start again");
}

}  // namespace vmae
