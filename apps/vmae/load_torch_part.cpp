#include <dlfcn.h>
#include <link.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
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

// What the Python that is active, the one that `python3` starts, prints first: its folder `torch`, not one where the
// user happens to be. Or the problem.
struct OfPython {
  std::string torch, problem;
};
OfPython torch_of_python() {
  const char* const command =
      "timeout 60 python3 -c 'import sys; sys.path = [p for p in sys.path if p]; import importlib.util as u; "
      "s = u.find_spec(\"torch\"); print(s.submodule_search_locations[0] if s else \"\")' 2>/dev/null";
  // NOLINTNEXTLINE(bugprone-command-processor): no part of the command is of the user's
  FILE* const pipe = popen(command, "r");
  if (pipe == nullptr) return {"", "python3 can't be started"};
  std::array<char, 4096> line{};
  const bool has_line = std::fgets(line.data(), line.size(), pipe) != nullptr;
  const int status = pclose(pipe), code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (code == 127) return {"", "there is no python3"};
  if (code == 124) return {"", "python3 was asked where its torch is and says nothing for 60 s"};
  if (code != 0) return {"", "python3 was asked where its torch is and fails"};
  const std::string torch(has_line ? trim(line.data()) : "");
  std::error_code ignored;
  if (torch.empty()) return {"", "python3 has no torch"};
  if (!fs::path(torch).is_absolute() || !fs::is_directory(torch, ignored))
    return {"", concat("python3 was asked where its torch is and says '", torch, "', which is no folder")};
  return {torch, ""};
}

// Of LD_LIBRARY_PATH. Absolute ones alone, here as below: nothing of the current folder is taken.
std::vector<fs::path> folders_of_environment() {
  const char* const path = std::getenv("LD_LIBRARY_PATH");
  std::vector<fs::path> folders;
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find_first_of(":;"), rest.size());
    const fs::path folder = rest.substr(0, end);
    if (folder.is_absolute()) folders.push_back(folder.lexically_normal());
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return folders;
}

// Where the loader looks for a library of the program: LD_LIBRARY_PATH, its run path, the system's folders.
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

// What to do with a LibTorch: load it, or only say whether there is one of the right version.
enum class Use { load, look };

// -> why not; "": it is loaded, or there. Nothing of another version is opened: it would stay.
std::string open_torch(const fs::path& libraries, Use use) {
  const fs::path torch = libraries.parent_path();
  const std::string found = version_of(torch);
  std::error_code ignored;
  if (!found.empty() && found != torch_version()) return concat(torch.string(), " is PyTorch ", found);
  if (!fs::exists(libraries / kLibrary, ignored)) return concat("no ", (libraries / kLibrary).string());
  if (use == Use::look) return "";
  // First what it needs of its own folder, for which the loader may look in LD_LIBRARY_PATH before.
  for (const char* name : {"libgomp.so.1", "libc10.so"}) dlopen((libraries / name).c_str(), RTLD_LAZY | RTLD_LOCAL);
  return dlopen((libraries / kLibrary).c_str(), RTLD_LAZY | RTLD_LOCAL) == nullptr ? dlerror() : "";
}

[[noreturn]] void fail_without_torch(const std::string& problem) {
  throw Error(ExitCode::internal, concat("this needs PyTorch ", torch_version(), ": ", problem),
              concat("install PyTorch ", torch_version(),
                     ", or say where it is: VMAE_TORCH=/path/to/torch, the folder ", "`torch` as pip installs it"));
}

// Of VMAE_TORCH: what is near to what was said, where that is a usual mistake.
std::string meant_instead(const fs::path& said) {
  std::error_code ignored;
  for (const fs::path& folder : {said / "torch", said.parent_path()}) {
    if (fs::exists(folder / "lib" / kLibrary, ignored)) return concat("; did you mean ", folder.string(), "?");
  }
  return "";
}

// LibTorch, before the part that needs it: that of VMAE_TORCH and no other; else the first that fits of
// LD_LIBRARY_PATH, then of the run path, whatever the loader's own order is (a package has an RPATH); else Python's. ->
// its folder, and what led there.
std::string find_torch(Use use) {
  const char* const said = std::getenv("VMAE_TORCH");
  if (said != nullptr && *said != '\0') {
    const fs::path torch = fs::absolute(said).lexically_normal();
    const std::string problem = open_torch(torch / "lib", use);
    if (!problem.empty()) fail_without_torch(concat("VMAE_TORCH = ", said, ": ", problem, meant_instead(torch)));
    return torch.string() + " (VMAE_TORCH)";
  }
  std::vector<std::string> problems;
  const auto fits = [&](const fs::path& libraries) {
    const std::string problem = open_torch(libraries, use);
    const bool is_new = std::find(problems.begin(), problems.end(), problem) == problems.end();
    if (!problem.empty() && is_new) problems.push_back(problem);
    return problem.empty();
  };
  std::error_code ignored;
  for (const auto& [folders, origin] : {std::pair(folders_of_environment(), " (LD_LIBRARY_PATH)"),
                                        {searched_folders(), " (where vmae was installed or built)"}}) {
    for (const fs::path& folder : folders) {
      if (fs::exists(folder / kLibrary, ignored) && fits(folder)) return folder.parent_path().string() + origin;
    }
  }
  if (problems.empty())
    problems.push_back(concat("no ", kLibrary, " in LD_LIBRARY_PATH or where this program was installed or built"));
  const OfPython python = torch_of_python();
  if (!python.problem.empty())
    problems.push_back(python.problem);
  else if (fits(fs::path(python.torch) / "lib"))
    return python.torch + " (of python3)";
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
  origin_of_torch = find_torch(Use::load);
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

void require_torch() { find_torch(Use::look); }

bool is_torch_part_loaded() { return is_loaded; }

const std::string& torch_origin() { return origin_of_torch; }

}  // namespace vmae::app
