#include "vmae/core/machine.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

#include "support/temp_folder.h"
#include "vmae/core/version.h"

namespace vmae {
namespace {

using test::TempFolder;

constexpr const char* kV2Mount = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
constexpr const char* kV1Mounts =
    "31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 30 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "33 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

TEST(Cgroup, NoneMeansNoLimit) {
  TempFolder root;
  const CgroupLimits limits = cgroup_limits(root.path());
  EXPECT_FALSE(limits.cpus);
  EXPECT_FALSE(limits.memory_bytes);
}

TEST(Cgroup, V2TakesTheTightestOfNestedGroups) {
  TempFolder root;
  root.write("proc/self/mountinfo", kV2Mount);
  root.write("proc/self/cgroup", "0::/slurm/job_7/step_0\n");
  root.write("sys/fs/cgroup/slurm/cpu.max", "800000 100000\n");
  root.write("sys/fs/cgroup/slurm/job_7/cpu.max", "250000 100000\n");
  root.write("sys/fs/cgroup/slurm/job_7/step_0/cpu.max", "max 100000\n");
  root.write("sys/fs/cgroup/slurm/memory.max", "1000\n");
  root.write("sys/fs/cgroup/slurm/memory.current", "800\n");
  root.write("sys/fs/cgroup/slurm/memory.stat", "anon 300\ninactive_file 200\n");
  root.write("sys/fs/cgroup/slurm/job_7/memory.max", "max\n");
  root.write("sys/fs/cgroup/slurm/job_7/step_0/memory.max", "5000\n");
  const CgroupLimits limits = cgroup_limits(root.path());
  EXPECT_EQ(limits.cpus, 2.5);
  EXPECT_EQ(limits.memory_bytes, 1000U);
  EXPECT_EQ(limits.memory_used_bytes, 600U);
}

TEST(Cgroup, V1QuotaAndMemory) {
  TempFolder root;
  root.write("proc/self/mountinfo", kV1Mounts);
  root.write("proc/self/cgroup", "5:memory:/job\n4:cpuset:/other\n3:cpu,cpuacct:/job/inner\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "300000\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  root.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "4096\n");
  root.write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1024\n");
  root.write("sys/fs/cgroup/memory/job/memory.stat", "total_inactive_file 2048\n");
  const CgroupLimits limits = cgroup_limits(root.path());
  EXPECT_EQ(limits.cpus, 3.0);
  EXPECT_EQ(limits.memory_bytes, 4096U);
  EXPECT_EQ(limits.memory_used_bytes, 0U);
}

// A container: /proc names the host's group; the mount shows only
// that group, or hides it (then the mount's root is the group).
TEST(Cgroup, InContainers) {
  TempFolder root;
  root.write("proc/self/mountinfo", "30 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
  root.write("proc/self/cgroup", "0::/docker/abc/inner\n");
  root.write("sys/fs/cgroup/inner/cpu.max", "150000 100000\n");
  root.write("sys/fs/cgroup/cpu.max", "400000 100000\n");
  EXPECT_EQ(cgroup_limits(root.path()).cpus, 1.5);
  root.write("proc/self/cgroup", "0::/docker/elsewhere\n");
  EXPECT_EQ(cgroup_limits(root.path()).cpus, 4.0);
}

TEST(Cgroup, GarbageIsNoLimit) {
  TempFolder root;
  root.write("proc/self/mountinfo", std::string(kV2Mount) + "x\n\n - - -\n");
  root.write("proc/self/cgroup", "\n:\n::\n0::/a\n");
  root.write("sys/fs/cgroup/a/cpu.max", "abc def\n");
  root.write("sys/fs/cgroup/a/memory.max", "");
  const CgroupLimits limits = cgroup_limits(root.path());
  EXPECT_FALSE(limits.cpus);
  EXPECT_FALSE(limits.memory_bytes);
}

TEST(Machine, ThreadsFollowTheAffinity) {
  EXPECT_GE(usable_threads(), 1);
  EXPECT_LE(usable_threads(), static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  int with_one_cpu = 0;
  std::thread([&] {  // affinity is per thread
    cpu_set_t mask;
    sched_getaffinity(0, sizeof mask, &mask);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &mask)) ++cpu;
    CPU_ZERO(&mask);
    CPU_SET(cpu, &mask);
    sched_setaffinity(0, sizeof mask, &mask);
    with_one_cpu = usable_threads();
  })
      .join();
  EXPECT_EQ(with_one_cpu, 1);
}

TEST(Machine, MemoryIsPlausible) {
  const MemoryInfo info = memory_info();
  EXPECT_GT(info.total_bytes, uint64_t{64} << 20);
  EXPECT_LE(info.limit_bytes, info.total_bytes);
  EXPECT_LE(info.available_bytes, info.limit_bytes);
  EXPECT_GT(info.available_bytes, 0U);
  EXPECT_GT(peak_resident_bytes(), uint64_t{1} << 20);
  EXPECT_LT(peak_resident_bytes(), info.total_bytes);
}

TEST(Machine, Names) {
  EXPECT_FALSE(cpu_model().empty());
  EXPECT_FALSE(host_name().empty());
#if defined(__x86_64__)
  EXPECT_EQ(instruction_sets().avx2, __builtin_cpu_supports("avx2") != 0);
  EXPECT_EQ(instruction_sets().avx512_bf16, __builtin_cpu_supports("avx512bf16") != 0);
#endif
}

TEST(Version, IsFilledIn) {
  EXPECT_NE(std::string(version()), "");
  EXPECT_NE(std::string(git_revision()), "");
  EXPECT_NE(std::string(build_summary()).find("g++"), std::string::npos);
}

}  // namespace
}  // namespace vmae
