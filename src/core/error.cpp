#include "vmae/core/error.h"

namespace vmae {

void fail_file(const std::filesystem::path& file, const std::string& what, const std::string& hint) {
  throw Error(ExitCode::data, concat(file.string(), ": ", what), hint);
}

}  // namespace vmae
