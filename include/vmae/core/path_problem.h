#pragma once
// Why a path can't be used, told apart: nothing is there, or the system does not let us see (permissions, a loop of
// links, a server that is gone). Taking the second for the first gives false reasons, or starts over what is there.
#include <filesystem>
#include <string>

namespace vmae {

inline constexpr const char* kAbsent = "does not exist";

// "" if something is there; kAbsent; or "can't be looked at: Permission denied".
std::string path_problem(const std::filesystem::path& path);

}  // namespace vmae
