#pragma once
// Versions for `vmae --version`, `vmae doctor` and a run's env.json; filled in by CMake at build time.
namespace vmae {

const char* version();  // "0.1.0"
// short SHA of the build's source, with "+" if there were uncommitted changes; "unknown" outside git
const char* git_revision();
const char* torch_version();  // "2.15.0": the LibTorch that it was built for
const char* build_summary();  // compiler, build type

}  // namespace vmae
