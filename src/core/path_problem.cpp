#include "vmae/core/path_problem.h"

#include <system_error>

namespace vmae {

std::string path_problem(const std::filesystem::path& path) {
  std::error_code problem;
  if (std::filesystem::exists(path, problem)) return "";
  return problem ? "can't be looked at: " + problem.message() : kAbsent;
}

}  // namespace vmae
