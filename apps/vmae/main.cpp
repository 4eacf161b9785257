// The executable bin/vmae: runs the commands that need no LibTorch, and becomes libexec/vmae/vmae for all others.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>

#include "commands.h"
#include "vmae/core/log.h"

namespace {

namespace fs = std::filesystem;

constexpr const char* kCommands[] = {"eval", "compare", "prepare", "split", "inspect", "docs", "--version"};

bool is_own(const char* word) {
  return std::any_of(std::begin(kCommands), std::end(kCommands), [&](const char* own) { return std::strcmp(own, word) == 0; });
}

[[noreturn]] void start_with_torch(char** argv) {
  // OpenMP's threads wait for work by spinning, which on a machine with other work (or with our own reader threads) costs up to 15 times the training speed.
  // The library reads its setting when it is loaded, so it has to be in the environment before.
  if (std::getenv("GOMP_SPINCOUNT") == nullptr) setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/0);
  std::error_code problem;
  const fs::path self = fs::read_symlink("/proc/self/exe", problem);
  const fs::path program = self.parent_path().parent_path() / "libexec" / "vmae" / "vmae";
  execv(program.c_str(), argv);
  vmae::log::error(vmae::concat(program.string(), " can't be started: ", std::strerror(errno)));
  vmae::log::error("  it belongs to this program: install or copy the folders bin and libexec (and lib) together");
  std::exit(static_cast<int>(vmae::ExitCode::internal));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || !is_own(argv[1])) start_with_torch(argv);
  return vmae::app::run_command(argc, argv, [argv](CLI::App& app, vmae::app::Context& context) {
    vmae::app::add_eval(app, context);
    vmae::app::add_compare(app, context);
    vmae::app::add_prepare(app, context);
    vmae::app::add_split(app, context);
    vmae::app::add_inspect(app, context, [argv](const auto&) { start_with_torch(argv); });
    vmae::app::add_docs(app, context);
  });
}
