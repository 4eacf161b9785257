#include <dlfcn.h>
#include <link.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

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
std::string torch_of_python() {
  return first_line_of(
      "python3 -c 'import sys; sys.path = [p for p in sys.path if p]; import importlib.util as u; "
      "s = u.find_spec(\"torch\"); print(s.submodule_search_locations[0] if s else \"\")' 2>/dev/null");
}

// Where the loader looks for a library of the program, in its order: LD_LIBRARY_PATH, the run path, the system's
// folders. Absolute ones alone: nothing of the current folder is taken.
std::vector<fs::path> searched_folders() {
  void* const self = dlopen(nullptr, RTLD_LAZY);
  Dl_serinfo size{};
  dlinfo(self, RTLD_DI_SERINFOSIZE, &size);
  std::vector<std::byte> memory(size.dls_size);
  auto* const found = reinterpret_cast<Dl_serinfo*>(memory.data());
  dlinfo(self, RTLD_DI_SERINFOSIZE, found);
  dlinfo(self, RTLD_DI_SERINFO, found);
  std::vector<fs::path> folders;
  for (unsigned i = 0; i < found->dls_cnt; ++i) {
    const fs::path folder = found->dls_serpath[i].dls_name;
    if (folder.is_absolute()) folders.push_back(folder.lexically_normal());
  }
  return folders;
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

constexpr const char* kLibrary = "libtorch_cpu.so";

// -> why not; "": it is loaded. Nothing of another version is opened: it would stay.
std::string open_torch(const fs::path& libraries) {
  const fs::path torch = libraries.parent_path();
  const std::string found = version_of(torch);
  if (!found.empty() && found != torch_version()) return concat(torch.string(), " is PyTorch ", found);
  // First what it needs of its own folder, for which the loader may look in LD_LIBRARY_PATH before.
  for (const char* name : {"libgomp.so.1", "libc10.so"}) dlopen((libraries / name).c_str(), RTLD_LAZY | RTLD_LOCAL);
  return dlopen((libraries / kLibrary).c_str(), RTLD_LAZY | RTLD_LOCAL) == nullptr ? dlerror() : "";
}

[[noreturn]] void fail_without_torch(const std::string& problem) {
  throw Error(ExitCode::internal, concat("this needs PyTorch ", torch_version(), ": ", problem),
              concat("install PyTorch ", torch_version(),
                     ", or say where it is: VMAE_TORCH=/path/to/torch, the folder ", "`torch` as pip installs it"));
}

// LibTorch, before the part that needs it: that of VMAE_TORCH and no other; else the first that fits where the loader
// looks; else Python's. -> its folder, and what led there.
std::string load_torch() {
  const char* const said = std::getenv("VMAE_TORCH");
  if (said != nullptr && *said != '\0') {
    const fs::path torch = fs::absolute(said);
    const std::string problem = open_torch(torch / "lib");
    if (!problem.empty()) fail_without_torch(concat("VMAE_TORCH = ", said, ": ", problem));
    return torch.string() + " (VMAE_TORCH)";
  }
  std::vector<std::string> problems;
  const auto fits = [&problems](const fs::path& libraries) {
    const std::string problem = open_torch(libraries);
    if (!problem.empty()) problems.push_back(problem);
    return problem.empty();
  };
  for (const fs::path& folder : searched_folders()) {
    std::error_code ignored;
    if (!fs::exists(folder / kLibrary, ignored) || !fits(folder)) continue;
    const char* const path = std::getenv("LD_LIBRARY_PATH");
    const bool is_of_path = path != nullptr && std::string_view(path).find(folder.string()) != std::string_view::npos;
    return folder.parent_path().string() + (is_of_path ? " (LD_LIBRARY_PATH)" : " (where vmae was installed or built)");
  }
  if (problems.empty())
    problems.push_back(concat("no ", kLibrary, " in LD_LIBRARY_PATH or where this program was installed or built"));
  const std::string of_python = torch_of_python();
  std::error_code ignored;
  if (of_python.empty())
    problems.emplace_back("python3 has no torch");
  else if (!fs::path(of_python).is_absolute() || !fs::is_directory(of_python, ignored))
    problems.push_back(concat("python3 was asked where its torch is and says '", of_python, "', which is no folder"));
  else if (fits(fs::path(of_python) / "lib"))
    return of_python + " (of python3)";
  fail_without_torch(join(problems, "; ") + "; VMAE_TORCH is not set");
}

std::string origin_of_torch;

// Never unloaded: LibTorch keeps pointers into it.
const TorchPart& open_part() {
  const fs::path file = folder_of_parts() / kPart;
  std::error_code ignored;
  if (!fs::exists(file, ignored))
    fail(file.string() + " is not there",
         "it belongs to this program: install or copy the folders bin and lib together");
  set_wait_policy();
  origin_of_torch = load_torch();
  void* const handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr)
    fail(concat(dlerror(), "; LibTorch is that of ", origin_of_torch),
         "install vmae anew, or another PyTorch: this program was built for " + std::string(torch_version()));
  const auto build = reinterpret_cast<decltype(&vmae_torch_part_build)>(dlsym(handle, "vmae_torch_part_build"));
  const auto get = reinterpret_cast<decltype(&vmae_torch_part)>(dlsym(handle, "vmae_torch_part"));
  if (build == nullptr || get == nullptr) fail(file.string() + " is no part of vmae", "install vmae anew");
  if (build() != build_of_parts())
    fail(concat(file.string(), " was built from ", build(), ", this program from ", build_of_parts()),
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

const std::string& torch_origin() { return origin_of_torch; }

}  // namespace vmae::app
