#include <dlfcn.h>
#include <link.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string_view>

#include "torch_part.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/version.h"

namespace vmae::app {

namespace fs = std::filesystem;

namespace {

constexpr const char* kPart = "libvmae_torch.so";

[[noreturn]] void fail(const std::string& problem, const std::string& hint) {
  throw Error(ExitCode::internal, concat("what needs LibTorch can't be loaded: ", problem), hint);
}

// OpenMP's threads are to sleep while they wait, unless the environment says otherwise: spinning costs up to 15 times
// the training speed on a machine with other work, or with our own reader threads. OpenMP reads it when it is loaded.
void set_wait_policy() {
  if (std::getenv("OMP_WAIT_POLICY") == nullptr && std::getenv("GOMP_SPINCOUNT") == nullptr)
    setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/1);
}

fs::path folder_of_parts() {
  std::error_code problem;
  const fs::path self = fs::read_symlink("/proc/self/exe", problem);
  if (problem) fail("/proc/self/exe can't be read: " + problem.message(), "mount /proc");
  return self.parent_path().parent_path() / "lib";
}

// What a program prints: its first line. "": it can't be run, or failed.
std::string first_line_of(const char* command) {
  // NOLINTNEXTLINE(bugprone-command-processor): no part of the command is of the user's
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command, "r"), pclose);
  std::array<char, 4096> line{};
  if (!pipe || std::fgets(line.data(), line.size(), pipe.get()) == nullptr) return "";
  return std::string(trim(line.data()));
}

// Of the Python that is active: the one that `python3` starts.
fs::path torch_of_python() {
  return first_line_of(
      "python3 -c 'import importlib.util as u; s = u.find_spec(\"torch\"); "
      "print(s.submodule_search_locations[0] if s else \"\")' 2>/dev/null");
}

// "2.15.0" of "__version__ = '2.15.0+cu130'"; "": not known.
std::string version_of(const fs::path& torch) {
  std::error_code ignored;
  const fs::path file = torch / "version.py";
  if (!fs::exists(file, ignored)) return "";
  const std::string text = read_file(file), key = "__version__ = '";
  const size_t begin = text.find(key) + key.size();
  return text.find(key) == std::string::npos ? "" : text.substr(begin, text.find_first_of("+'", begin) - begin);
}

void* open_torch(const fs::path& library) { return dlopen(library.c_str(), RTLD_LAZY | RTLD_LOCAL); }

// LibTorch, before the part that needs it: $VMAE_TORCH, else by the run path of the program, else Python's.
void load_torch() {
  constexpr const char* kLibrary = "libtorch_cpu.so";
  const char* const said = std::getenv("VMAE_TORCH");
  const std::string hint = concat("VMAE_TORCH=/path/to/torch says where it is: the folder `torch` of PyTorch ",
                                  torch_version(), ", as pip installs it");
  void* handle = open_torch(said != nullptr ? fs::path(said) / "lib" / kLibrary : fs::path(kLibrary));
  std::string problem = handle == nullptr ? dlerror() : "";
  if (handle == nullptr && said == nullptr) {
    if (const fs::path found = torch_of_python(); !found.empty()) {
      handle = open_torch(found / "lib" / kLibrary);
      problem = handle == nullptr ? dlerror() : "";
    }
  }
  if (handle == nullptr) fail(problem, hint);
  const link_map* where = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, static_cast<void*>(&where)) != 0) return;
  const fs::path torch = fs::path(where->l_name).parent_path().parent_path();
  if (const std::string found = version_of(torch); !found.empty() && found != torch_version())
    fail(concat(torch.string(), " is PyTorch ", found, ", but this program was built for ", torch_version()), hint);
}

// Never unloaded: LibTorch keeps pointers into it.
const TorchPart& open_part() {
  const fs::path file = folder_of_parts() / kPart;
  std::error_code ignored;
  if (!fs::exists(file, ignored))
    fail(file.string() + " is not there",
         "it belongs to this program: install or copy the folders bin and lib together");
  set_wait_policy();
  load_torch();
  void* const handle = dlopen(file.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (handle == nullptr) fail(dlerror(), "install vmae anew");
  const auto revision =
      reinterpret_cast<decltype(&vmae_torch_part_revision)>(dlsym(handle, "vmae_torch_part_revision"));
  const auto get = reinterpret_cast<decltype(&vmae_torch_part)>(dlsym(handle, "vmae_torch_part"));
  if (revision == nullptr || get == nullptr) fail(file.string() + " is no part of vmae", "install vmae anew");
  if (revision() != std::string_view(git_revision()))
    fail(concat(file.string(), " was built from ", revision(), ", this program from ", git_revision()),
         "install or copy the folders bin and lib together");
  return *get();
}

bool is_loaded = false;

}  // namespace

const TorchPart& torch_part() {
  static const TorchPart& part = open_part();
  is_loaded = true;
  return part;
}

bool is_torch_part_loaded() { return is_loaded; }

}  // namespace vmae::app
