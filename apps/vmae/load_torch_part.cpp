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

// Of the Python that is active: the one that `python3` starts. Not a folder `torch` where the user happens to be.
fs::path torch_of_python() {
  const fs::path found = first_line_of(
      "python3 -c 'import sys; sys.path = [p for p in sys.path if p]; import importlib.util as u; "
      "s = u.find_spec(\"torch\"); print(s.submodule_search_locations[0] if s else \"\")' 2>/dev/null");
  return found.is_absolute() ? found : fs::path();
}

// "2.15.0" of "2.15.0+cu130"; of the folder that pip installs, or that pytorch.org has as an archive. "": not known.
std::string version_of(const fs::path& torch) {
  std::error_code ignored;
  const auto up_to = [](const std::string& text, size_t begin) {
    return text.substr(begin, text.find_first_of("+'\n", begin) - begin);
  };
  if (fs::exists(torch / "version.py", ignored)) {
    const std::string text = read_file(torch / "version.py"), key = "__version__ = '";
    const size_t at = text.find(key);
    return at == std::string::npos ? "" : up_to(text, at + key.size());
  }
  return fs::exists(torch / "build-version", ignored) ? up_to(read_file(torch / "build-version"), 0) : "";
}

std::string hint_for_torch() {
  return concat("install PyTorch ", torch_version(), ", or say where it is: VMAE_TORCH=/path/to/torch, the folder ",
                "`torch` as pip installs it");
}

void require_version(const fs::path& torch) {
  const std::string found = version_of(torch);
  if (!found.empty() && found != torch_version())
    fail(concat(torch.string(), " is PyTorch ", found, ", but this program was built for ", torch_version()),
         hint_for_torch());
}

constexpr const char* kLibrary = "libtorch_cpu.so";

// -> why not; "": it is loaded.
std::string open_torch(const fs::path& folder) {
  require_version(folder);
  const fs::path library = folder / "lib" / kLibrary;
  return dlopen(library.c_str(), RTLD_LAZY | RTLD_LOCAL) == nullptr ? dlerror() : "";
}

// LibTorch, before the part that needs it: $VMAE_TORCH, else by the run path of the program, else Python's.
void load_torch() {
  const char* const said = std::getenv("VMAE_TORCH");
  if (said != nullptr && *said != '\0') {
    if (const std::string problem = open_torch(fs::absolute(said)); !problem.empty())
      fail(concat("VMAE_TORCH = ", said, ": ", problem), hint_for_torch());
    return;
  }
  if (void* const handle = dlopen(kLibrary, RTLD_LAZY | RTLD_LOCAL); handle != nullptr) {
    const link_map* where = nullptr;
    if (dlinfo(handle, RTLD_DI_LINKMAP, static_cast<void*>(&where)) == 0)
      require_version(fs::absolute(where->l_name).lexically_normal().parent_path().parent_path());
    return;
  }
  const std::string problem = dlerror();
  const fs::path of_python = torch_of_python();
  const std::string of_pythons = of_python.empty() ? "python3 has no torch" : open_torch(of_python);
  if (!of_pythons.empty())
    fail(concat("no LibTorch where this program was installed or built (", problem, "); VMAE_TORCH is not set; ",
                of_pythons),
         hint_for_torch());
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
  void* const handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr)
    fail(dlerror(),
         "install vmae anew, or another PyTorch: this program was built for " + std::string(torch_version()));
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
