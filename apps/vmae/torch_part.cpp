// The library libvmae_torch.so: all that has to do with tensors.
#include "torch_part.h"

#include "vmae/cuda/library.h"
#include "vmae/ranks/run_on_ranks.h"
#include "vmae/ranks/world.h"
#include "vmae/tasks/architecture.h"
#include "vmae/tasks/folds.h"
#include "vmae/tasks/pretrain.h"
#include "vmae/tools/doctor.h"
#include "vmae/tools/export_weights.h"
#include "vmae/train/cpu_allocator.h"
#include "vmae/train/device.h"

namespace vmae::app {

namespace {

class Part final : public TorchPart {
 public:
  Part() {  // both before the first tensor
    cuda::load();
    train::install_cpu_allocator();
    set_error_of_library(train::out_of_memory);
  }
  ExitCode run_on_ranks(const std::function<ExitCode(train::World&)>& command) const override {
    return run::run_on_ranks(command);
  }
  ExitCode pretrain(const run::PretrainConfig& config, const run::TrainArguments& arguments,
                    train::World& world) const override {
    return run::pretrain(config, arguments, world);
  }
  ExitCode finetune_folds(const run::SegmentConfig& config, const run::TrainArguments& arguments,
                          const std::string& fold, train::World& world) const override {
    return run::finetune_folds(config, arguments, fold, world);
  }
  ExitCode finetune_folds(const run::ClassifyConfig& config, const run::TrainArguments& arguments,
                          const std::string& fold, train::World& world) const override {
    return run::finetune_folds(config, arguments, fold, world);
  }
  std::string adopted_weights(const std::string& run_dir, const std::string& init, const std::string& fold,
                              const Launch& launch, train::IfExists wanted) const override {
    return run::adopted_weights(run_dir, init, fold, launch, wanted);
  }
  void adopt_architecture(run::SegmentModelOptions& model, const std::string& init) const override {
    run::adopt_architecture(model, init);
  }
  void adopt_architecture(run::ClassifyModelOptions& model, const std::string& init) const override {
    run::adopt_architecture(model, init);
  }
  ExitCode predict(const run::PredictArguments& arguments) const override { return run::predict(arguments); }
  ExitCode features(const run::FeaturesArguments& arguments) const override { return run::features(arguments); }
  void forward(const run::ForwardArguments& arguments) const override { run::forward(arguments); }
  void export_weights(const std::string& weights, const std::string& output, bool overwrite) const override {
    run::export_weights(weights, output, overwrite);
  }
  void export_nnunet(const std::string& weights, const std::string& output, bool overwrite) const override {
    run::export_nnunet(weights, output, overwrite);
  }
  void inspect_card(const run::InspectArguments& arguments) const override { run::inspect_card(arguments); }
  bool doctor(const std::string& torch_origin, run::Findings found, std::ostream& out) const override {
    return run::doctor(torch_origin, std::move(found), out);
  }
  bool doctor_distributed(train::World& world, const std::string& device, double timeout_s,
                          std::ostream& out) const override {
    return run::doctor_distributed(world, device, timeout_s, out);
  }
  void bench(const run::BenchArguments& arguments, train::World& world, std::ostream& out) const override {
    run::bench(arguments, world, out);
  }
  void bench_loader(const run::LoaderBenchArguments& arguments, std::ostream& out) const override {
    run::bench_loader(arguments, out);
  }
};

}  // namespace

}  // namespace vmae::app

const vmae::app::TorchPart* vmae_torch_part() {
  static const vmae::app::Part part;
  return &part;
}
