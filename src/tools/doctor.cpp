// `vmae doctor`: what a user is asked for first when something does not work.
#include <ATen/Context.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>

#include <chrono>
#include <ostream>

#include "vmae/core/clock.h"
#include "vmae/core/text.h"
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

bool doctor(const std::string& torch_origin, Findings found, std::ostream& out) {
  write_fact("LibTorch", torch_origin, out);
  cuda::load(cuda::Driver::not_needed);  // to tell a part that is not there from a driver that is not there
  write_fact("CUDA", cuda::library() != nullptr ? cuda::library()->versions() : cuda::why_not_loaded(), out);
  const auto devices = train::cuda_devices();
  for (size_t i = 0; i < devices.size(); ++i) write_fact(concat("GPU ", i), devices[i], out);
  if (devices.empty()) write_fact("GPUs", "none: " + train::cuda_problem(), out);
  if (cuda::has_driver() && cuda::library() == nullptr)
    found.problems.push_back("this machine has an NVIDIA driver, but no GPU can be used: " + cuda::why_not_loaded());

  const at::Device device = train::resolve_device("auto");
  train::configure_compute(at::kCPU, 0);
  write_fact("matrix products",
             concat(static_cast<int>(measure_gflops(at::kFloat)), " GFLOP/s fp32, ",
                    static_cast<int>(measure_gflops(at::kBFloat16)), " GFLOP/s bf16 on the CPU"),
             out);
  write_fact("run.device auto", device.str(), out);
  write_fact("precision auto", train::to_string(train::resolve_precision("auto", device)), out);

  for (const auto& remark : found.remarks) out << "note: " << remark << "\n";
  for (const auto& problem : found.problems) out << "problem: " << problem << "\n";
  out << (found.problems.empty() ? "all good\n" : concat(found.problems.size(), " problem(s) found\n"));
  return found.problems.empty();
}

}  // namespace vmae::run
