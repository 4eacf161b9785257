// Affinity from the kernel, limits from cgroup files, the rest from /proc. cgroups: /proc/self/cgroup names
// this process's group in each hierarchy ("0::/job" is v2, "4:cpu,cpuacct:/job" is v1),
// /proc/self/mountinfo says where the hierarchy is mounted and which of its groups the mount shows. A limit
// on any group from there up to the mount's root binds. Where the group is not visible (a container without
// a cgroup namespace), the walk up ends at the mount's root, which is then the container's own group.
#include "vmae/core/machine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <sstream>
#include <vector>

#include "vmae/core/text.h"

namespace vmae {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> words(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

std::vector<std::string> first_line_words(const fs::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return words(line);
}

std::optional<uint64_t> first_integer(const fs::path& path) {
  const auto line = first_line_words(path);
  const auto value = line.empty() ? std::nullopt : parse_integer(line[0]);
  return value && *value >= 0 ? std::optional<uint64_t>(*value) : std::nullopt;  // v1: -1, v2: "max": no limit
}

// The number after `name` in "name value" or "name: value" lines (memory.stat, meminfo, status).
std::optional<uint64_t> named_integer(const fs::path& path, std::string_view name) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const auto parts = words(line);
    if (parts.size() < 2 || (parts[0] != name && parts[0] != std::string(name) + ":")) continue;
    const auto value = parse_integer(parts[1]);
    return value ? std::optional<uint64_t>(*value) : std::nullopt;
  }
  return std::nullopt;
}

uint64_t proc_kib(const char* file, std::string_view name) { return named_integer(file, name).value_or(0) * 1024; }

std::string cpuinfo_line(std::string_view name) {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(':');
    if (colon != std::string::npos && trim(std::string_view(line).substr(0, colon)) == name)
      return std::string(trim(std::string_view(line).substr(colon + 1)));
  }
  return "";
}

struct Mount {
  std::string shown_group, folder;
};

// The mount of the v2 hierarchy (controller "") or of a v1 controller.
// mountinfo: id parent dev root folder options ... - type source options.
std::optional<Mount> find_mount(const fs::path& root, const std::string& controller) {
  std::ifstream in(root / "proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    const auto parts = words(line);
    const auto dash = std::find(parts.begin(), parts.end(), "-");
    if (parts.size() < 6 || parts.end() - dash < 4) continue;
    const bool is_v2 = controller.empty() && dash[1] == "cgroup2";
    const bool is_v1 = !controller.empty() && dash[1] == "cgroup" &&
                       ("," + dash[3] + ",").find("," + controller + ",") != std::string::npos;
    if (is_v2 || is_v1) return Mount{parts[3], parts[4]};
  }
  return std::nullopt;
}

// This process's group in a hierarchy and all groups around it, innermost first.
std::vector<fs::path> groups(const fs::path& root, const std::string& controller) {
  const auto mount = find_mount(root, controller);
  if (!mount) return {};
  std::string group;
  std::ifstream in(root / "proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? controllers.empty()
                           : ("," + controllers + ",").find("," + controller + ",") != std::string::npos)
      group = line.substr(second + 1);
  }
  if (mount->shown_group != "/" && (group + "/").rfind(mount->shown_group + "/", 0) == 0)
    group.erase(0, mount->shown_group.size());

  const fs::path top = root / fs::path(mount->folder).relative_path();
  std::vector<fs::path> out;
  for (fs::path inner = fs::path(group).relative_path(); !inner.empty(); inner = inner.parent_path())
    out.push_back(top / inner);
  out.push_back(top);
  return out;
}

}  // namespace

CgroupLimits cgroup_limits(const fs::path& root) {
  CgroupLimits limits;
  const auto limit_cpus = [&](double quota, double period) {
    if (quota > 0 && period > 0) limits.cpus = std::min(quota / period, limits.cpus.value_or(quota / period));
  };
  const auto limit_memory = [&](const fs::path& group, const char* limit_file, const char* usage_file,
                                const char* cache_name) {
    const auto limit = first_integer(group / limit_file);
    // v1 writes "no limit" as about 2^63
    if (!limit || *limit >= limits.memory_bytes.value_or(uint64_t{1} << 60)) return;
    limits.memory_bytes = limit;
    const uint64_t used = first_integer(group / usage_file).value_or(0);
    limits.memory_used_bytes = used - std::min(used, named_integer(group / "memory.stat", cache_name).value_or(0));
  };
  for (const fs::path& group : groups(root, "")) {
    const auto cpu_max = first_line_words(group / "cpu.max");  // "quota period" in microseconds, or "max period"
    if (cpu_max.size() == 2) limit_cpus(parse_number(cpu_max[0]).value_or(0), parse_number(cpu_max[1]).value_or(0));
    limit_memory(group, "memory.max", "memory.current", "inactive_file");
  }
  for (const fs::path& group : groups(root, "cpu")) {
    const auto microseconds = [&](const char* file) {
      return static_cast<double>(first_integer(group / file).value_or(0));
    };
    limit_cpus(microseconds("cpu.cfs_quota_us"), microseconds("cpu.cfs_period_us"));
  }
  for (const fs::path& group : groups(root, "memory"))
    limit_memory(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file");
  return limits;
}

namespace {
std::atomic<int> sharing_processes{1};
}

void share_threads(int processes) { sharing_processes = std::max(1, processes); }

std::string cpu_affinity() {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    const auto parts = words(line);
    if (parts.size() == 2 && parts[0] == "Cpus_allowed_list:") return parts[1];
  }
  return "";
}

int usable_threads() {
  int threads = 1;
  // EINVAL: the kernel knows more CPUs than the mask holds
  for (int capacity = 1024; capacity <= 1 << 20; capacity *= 2) {
    cpu_set_t* mask = CPU_ALLOC(capacity);
    const int status = sched_getaffinity(0, CPU_ALLOC_SIZE(capacity), mask);
    if (status == 0) threads = CPU_COUNT_S(CPU_ALLOC_SIZE(capacity), mask);
    CPU_FREE(mask);
    if (status == 0 || errno != EINVAL) break;
  }
  const auto cpus = cgroup_limits().cpus;
  if (cpus && *cpus < threads) threads = static_cast<int>(std::ceil(*cpus));
  return std::max(threads / sharing_processes, 1);
}

MemoryInfo memory_info() {
  const CgroupLimits limits = cgroup_limits();
  MemoryInfo info{};
  info.total_bytes = proc_kib("/proc/meminfo", "MemTotal");
  info.limit_bytes = std::min(info.total_bytes, limits.memory_bytes.value_or(info.total_bytes));
  const uint64_t used = std::min(limits.memory_used_bytes.value_or(0), info.limit_bytes);
  info.available_bytes = std::min(proc_kib("/proc/meminfo", "MemAvailable"), info.limit_bytes - used);
  return info;
}

uint64_t peak_resident_bytes() { return proc_kib("/proc/self/status", "VmHWM"); }

InstructionSets instruction_sets() {
  const auto flags = words(cpuinfo_line("flags"));
  const auto has = [&](const char* flag) { return std::find(flags.begin(), flags.end(), flag) != flags.end(); };
  return {has("avx2"), has("avx512f") && has("avx512bw") && has("avx512vl") && has("avx512dq"), has("avx512_bf16"),
          has("amx_bf16")};
}

std::string cpu_model() {
  const std::string model = cpuinfo_line("model name");
  return model.empty() ? "unknown" : model;
}

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

}  // namespace vmae
