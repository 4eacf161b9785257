#pragma once
// What commands do with tensors, as an interface: lib/libvmae_torch.so, which is loaded when such a command runs.
// Everything else, all that --help, --version, --print-config and wrong options and keys need, is in the program
// itself.
#include <functional>
#include <iosfwd>
#include <string>

#include "vmae/core/error.h"
#include "vmae/inspect/inspect.h"
#include "vmae/predict/features.h"
#include "vmae/predict/predict.h"
#include "vmae/runs/finetune_options.h"
#include "vmae/runs/pretrain_options.h"
#include "vmae/tasks/train_arguments.h"
#include "vmae/tools/bench.h"
#include "vmae/tools/bench_loader.h"
#include "vmae/tools/doctor.h"
#include "vmae/tools/forward.h"

namespace vmae::train {
class World;
}

namespace vmae::app {

// Each as the function of its name in run.
class TorchPart {
 public:
  virtual ~TorchPart() = default;
  virtual ExitCode run_on_ranks(const std::function<ExitCode(train::World&)>& command) const = 0;
  virtual ExitCode pretrain(const run::PretrainConfig& config, const run::TrainArguments& arguments,
                            train::World& world) const = 0;
  virtual ExitCode finetune_folds(const run::SegmentConfig& config, const run::TrainArguments& arguments,
                                  const std::string& fold, train::World& world) const = 0;
  virtual ExitCode finetune_folds(const run::ClassifyConfig& config, const run::TrainArguments& arguments,
                                  const std::string& fold, train::World& world) const = 0;
  virtual std::string adopted_weights(const std::string& run_dir, const std::string& init, const std::string& fold,
                                      const Launch& launch, train::IfExists wanted) const = 0;
  virtual void adopt_architecture(run::SegmentModelOptions& model, const std::string& init) const = 0;
  virtual void adopt_architecture(run::ClassifyModelOptions& model, const std::string& init) const = 0;
  virtual ExitCode predict(const run::PredictArguments& arguments) const = 0;
  virtual ExitCode features(const run::FeaturesArguments& arguments) const = 0;
  virtual void forward(const run::ForwardArguments& arguments) const = 0;
  virtual void export_weights(const std::string& weights, const std::string& output, bool overwrite) const = 0;
  virtual void export_nnunet(const std::string& weights, const std::string& output, bool overwrite) const = 0;
  virtual void inspect_card(const run::InspectArguments& arguments) const = 0;
  virtual bool doctor(const std::string& torch_origin, run::Findings found, std::ostream& out) const = 0;
  virtual bool doctor_distributed(train::World& world, const std::string& device, double timeout_s,
                                  std::ostream& out) const = 0;
  virtual void bench(const run::BenchArguments& arguments, train::World& world, std::ostream& out) const = 0;
  virtual void bench_loader(const run::LoaderBenchArguments& arguments, std::ostream& out) const = 0;
};

// Loads it once. Throws Error(internal) naming what was looked for, and where.
const TorchPart& torch_part();
// As it throws where there is no LibTorch of the right version, without loading any.
void require_torch();
bool is_torch_part_loaded();
const std::string& torch_origin();  // "/opt/torch (VMAE_TORCH)": the LibTorch that was loaded for it

}  // namespace vmae::app

// What the program looks for in libvmae_torch.so.
extern "C" {
__attribute__((visibility("default"))) const vmae::app::TorchPart* vmae_torch_part();
__attribute__((visibility("default"))) const char*
vmae_torch_part_build();  // as build_of_parts() in the program, of the same build
}
