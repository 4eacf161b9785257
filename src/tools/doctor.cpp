// `vmae doctor`: what a user is asked for first when something does not work.
#include <ATen/Context.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>

#include <chrono>
#include <cstdlib>
#include <ostream>
#include <thread>

#include "vmae/core/clock.h"
#include "vmae/core/machine.h"
#include "vmae/core/text.h"
#include "vmae/core/version.h"
#include "vmae/cuda/library.h"
#include "vmae/tools/doctor.h"
#include "vmae/train/device.h"
#include "vmae/train/precision.h"

namespace vmae::run {

namespace {

// Speed of a matrix product as a training step makes them, in GFLOP/s.
double measure_gflops(at::ScalarType type) {
  const at::Tensor a = at::randn({1024, 768}).to(type), b = at::randn({768, 768}).to(type);
  constexpr int kRepeats = 20;
  at::mm(a, b);
  const auto start = Clock::now();
  for (int i = 0; i < kRepeats; ++i) at::mm(a, b);
  return 2.0 * 1024 * 768 * 768 * kRepeats / seconds_since(start) * 1e-9;
}

}  // namespace

bool doctor(const std::string& torch_origin, std::ostream& out) {
  std::vector<std::string> problems, remarks;
  const auto line = [&](const std::string& name, const std::string& value) {
    out << name << std::string(name.size() < 18 ? 18 - name.size() : 1, ' ') << value << "\n";
  };
  line("vmae", concat(version(), " (", git_revision(), "), for PyTorch ", torch_version(), ", ", build_summary()));
  line("LibTorch", torch_origin);
  cuda::load(cuda::Driver::not_needed);  // to tell a part that is not there from a driver that is not there
  line("CUDA", cuda::library() != nullptr ? cuda::library()->versions() : cuda::why_not_loaded());
  const auto devices = train::cuda_devices();
  for (size_t i = 0; i < devices.size(); ++i) line(concat("GPU ", i), devices[i]);
  if (devices.empty()) line("GPUs", "none: " + train::cuda_problem());
  if (cuda::has_driver() && cuda::library() == nullptr)
    problems.push_back("this machine has an NVIDIA driver, but no GPU can be used: " + cuda::why_not_loaded());

  line("CPU", cpu_model());
  const InstructionSets sets = instruction_sets();
  line("instruction sets", concat(sets.avx2 ? "AVX2 " : "", sets.avx512 ? "AVX-512 " : "",
                                  sets.avx512_bf16 ? "AVX512_BF16 " : "", sets.amx_bf16 ? "AMX " : ""));
  if (!sets.avx2) problems.push_back("this CPU has no AVX2: training will be very slow");
  const int threads = usable_threads();
  line("threads", concat(threads, " usable of ", std::thread::hardware_concurrency(), " (affinity and cgroup)"));
  if (const char* omp = std::getenv("OMP_NUM_THREADS"))
    remarks.push_back(concat("OMP_NUM_THREADS=", omp, " is set; vmae uses run.threads instead"));
  const MemoryInfo memory = memory_info();
  line("memory", concat(human_bytes(static_cast<double>(memory.available_bytes)), " free of ",
                        human_bytes(static_cast<double>(memory.limit_bytes))));
  if (memory.available_bytes < (uint64_t{4} << 30))
    problems.push_back("less than 4 GiB of memory is free: lower train.micro_batch, or free some");

  const at::Device device = train::resolve_device("auto");
  train::configure_compute(at::kCPU, 0);
  line("matrix products", concat(static_cast<int>(measure_gflops(at::kFloat)), " GFLOP/s fp32, ",
                                 static_cast<int>(measure_gflops(at::kBFloat16)), " GFLOP/s bf16 on the CPU"));
  line("run.device auto", device.str());
  line("precision auto", train::to_string(train::resolve_precision("auto", device)));

  for (const auto& remark : remarks) out << "note: " << remark << "\n";
  for (const auto& problem : problems) out << "problem: " << problem << "\n";
  out << (problems.empty() ? "all good\n" : concat(problems.size(), " problem(s) found\n"));
  return problems.empty();
}

}  // namespace vmae::run
