#pragma once
// Versions for `vmae --version`, `vmae doctor` and a run's env.json; filled in by CMake at build time.
#include <string>

namespace vmae {

const char* version();  // "0.1.0"
// short SHA of the build's source, with "+" if there were uncommitted changes; "unknown" outside git
const char* git_revision();
const char* torch_version();  // "2.15.0": the LibTorch that it was built for
// "1a2b3c4 for PyTorch 2.15.0": what the program's parts must say of themselves, or they are of another build
std::string build_of_parts();
const char* build_summary();  // compiler, build type

}  // namespace vmae
