// `vmae doctor`: what can be said of a machine without LibTorch.
#include <cstdlib>
#include <ostream>
#include <thread>

#include "vmae/core/machine.h"
#include "vmae/core/text.h"
#include "vmae/core/version.h"
#include "vmae/tools/doctor.h"

namespace vmae::run {

void write_fact(const std::string& name, const std::string& value, std::ostream& out) {
  out << name << std::string(name.size() < 18 ? 18 - name.size() : 1, ' ') << value << "\n";
}

Findings doctor_machine(std::ostream& out) {
  Findings found;
  write_fact("vmae", concat(version(), " (", git_revision(), "), for PyTorch ", torch_version(), ", ", build_summary()),
             out);
  write_fact("CPU", cpu_model(), out);
  const InstructionSets sets = instruction_sets();
  write_fact("instruction sets",
             concat(sets.avx2 ? "AVX2 " : "", sets.avx512 ? "AVX-512 " : "", sets.avx512_bf16 ? "AVX512_BF16 " : "",
                    sets.amx_bf16 ? "AMX " : ""),
             out);
  if (!sets.avx2) found.problems.emplace_back("this CPU has no AVX2: training will be very slow");
  write_fact("threads",
             concat(usable_threads(), " usable of ", std::thread::hardware_concurrency(), " (affinity and cgroup)"),
             out);
  if (const char* omp = std::getenv("OMP_NUM_THREADS"))
    found.remarks.push_back(concat("OMP_NUM_THREADS=", omp, " is set; vmae uses run.threads instead"));
  const MemoryInfo memory = memory_info();
  write_fact("memory",
             concat(human_bytes(static_cast<double>(memory.available_bytes)), " free of ",
                    human_bytes(static_cast<double>(memory.limit_bytes))),
             out);
  if (memory.available_bytes < (uint64_t{4} << 30))
    found.problems.emplace_back("less than 4 GiB of memory is free: lower train.micro_batch, or free some");
  return found;
}

}  // namespace vmae::run
