#pragma once
// What this machine lets this process use: threads from affinity and
// cgroup (Slurm gives a job 4 of 192 cores), memory, instruction sets.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace vmae {

// At least 1: min(sched_getaffinity, cgroup v1/v2 CPU quota rounded up), never
// the machine's core count; this process's part of them where several share.
int usable_threads();
void share_threads(int processes);  // that many processes like this one run on the same CPUs
std::string cpu_affinity();         // the CPUs that this process may run on, as a text to compare: "0-3,8"

struct MemoryInfo {
  uint64_t total_bytes;      // of the machine
  uint64_t limit_bytes;      // of the cgroup, or total_bytes
  uint64_t available_bytes;  // MemAvailable, within the limit
};
MemoryInfo memory_info();
uint64_t peak_resident_bytes();  // VmHWM of this process

// The tightest limits of this process's cgroup (v1, v2 or both)
// and of the groups around it. `root` is "/" except in tests.
struct CgroupLimits {
  std::optional<double> cpus;
  std::optional<uint64_t> memory_bytes;
  // of the group with that limit, without file cache that the kernel would drop
  std::optional<uint64_t> memory_used_bytes;
};
CgroupLimits cgroup_limits(const std::filesystem::path& root = "/");

struct InstructionSets {
  bool avx2, avx512, avx512_bf16, amx_bf16;
};
InstructionSets instruction_sets();
std::string cpu_model();
std::string host_name();

}  // namespace vmae
