// `vmae bench`: the training steps of pretraining and fine-tuning, on random
// images, so that scripts/bench can set it beside other implementations.
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <numeric>
#include <ostream>

#include "trace.h"
#include "vmae/core/clock.h"
#include "vmae/core/error.h"
#include "vmae/nn/classifier.h"
#include "vmae/nn/losses.h"
#include "vmae/nn/mae.h"
#include "vmae/nn/nnunet.h"
#include "vmae/nn/nnunet_loss.h"
#include "vmae/nn/segmenters.h"
#include "vmae/nn/simclr.h"
#include "vmae/nnunet/plans.h"
#include "vmae/ranks/world.h"
#include "vmae/runs/nnunet_network.h"
#include "vmae/tools/bench.h"
#include "vmae/train/checkpoint_writer.h"
#include "vmae/train/device.h"
#include "vmae/train/step.h"
#include "vmae/train/step_graph.h"

namespace vmae::run {

namespace {

// The loss of each model on the same images, with random masks and drop path as in training.
class RandomImages : public train::Task {
 public:
  RandomImages(std::shared_ptr<torch::nn::Module> module, std::function<at::Tensor()> loss)
      : module_(std::move(module)), loss_(std::move(loss)) {}
  torch::nn::Module& module() override { return *module_; }
  std::vector<at::Tensor> draws(const data::Batch&) override { return {}; }
  at::Tensor loss(const data::Batch&, const train::RankSum&) override { return loss_(); }
  bool can_validate() const override { return false; }
  train::Metrics validate() override { return {}; }
  train::Panel panel() override { return {}; }

 private:
  std::shared_ptr<torch::nn::Module> module_;
  std::function<at::Tensor()> loss_;
};

// Of the plan; else the stages that a plan of 224 pixels has, whatever the size.
nn::UnetOptions nnunet_options(const BenchArguments& arguments) {
  nn::UnetOptions options;
  if (!arguments.plan.empty()) {
    set_network(nnunet::read_plans(arguments.plan), /*num_heads=*/9, options);
    return options;
  }
  options.num_classes = 9;
  options.swin.image_size = {arguments.image_size, arguments.image_size};
  options.nnunet = {.features_per_stage = {32, 64, 128, 256, 512, 512},
                    .kernel_sizes = std::vector<int64_t>(12, 3),
                    .strides = {1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2},
                    .n_conv_per_stage = std::vector<int64_t>(6, 2),
                    .n_conv_per_stage_decoder = std::vector<int64_t>(5, 2)};
  return options;
}

RandomImages nnunet_task(const BenchArguments& arguments, at::Device device) {
  const nn::UnetOptions options = nnunet_options(arguments);
  const int64_t b = arguments.batch, height = options.swin.image_size[0], width = options.swin.image_size[1];
  nn::NnUnet model(options);
  const at::Tensor image = at::randn({b, options.swin.in_channels, height, width}, device),
                   mask = at::randint(options.num_classes, {b, height, width},
                                      at::TensorOptions(at::kByte).device(device));
  return {model.ptr(), [=]() mutable { return nn::nnunet_loss(model->levels(image), mask, {}); }};
}

RandomImages make_task(const BenchArguments& arguments, at::Device device) {
  if (arguments.model == "nnunet") return nnunet_task(arguments, device);
  const int64_t b = arguments.batch, side = arguments.image_size;
  const at::Tensor image = at::randn({b, 3, side, side}, device);
  const auto draws = [=](int64_t count) { return at::rand({b, count}, device); };
  if (nn::find_segmenter(arguments.model) != nullptr) {
    nn::UnetOptions options{.num_classes = 9};
    options.swin.image_size = {side, side};
    const nn::SegmenterModule model = nn::make_segmenter(arguments.model, options);
    const at::Tensor mask = at::randint(9, {b, side, side}, at::TensorOptions(at::kByte).device(device));
    return {model.module, [=]() {
              return nn::segmentation_loss(model.net->forward(image, draws(model.net->num_draws())), mask, {}, {}, -1);
            }};
  }
  if (arguments.model == "swin-classifier") {
    nn::ClassifierOptions options{.num_classes = 5};
    options.swin.image_size = {side, side};
    nn::SwinClassifier model(options);
    const at::Tensor labels =
        at::one_hot(at::randint(5, {b}, at::TensorOptions(at::kLong).device(device)), 5).to(at::kFloat);
    return {model.ptr(), [=]() mutable {
              return nn::multi_class_loss(model->forward(image, draws(model->num_draws())), labels, 0.0, {});
            }};
  }
  if (arguments.model == "simclr") {
    nn::SimclrOptions options;
    options.swin.image_size = {side, side};
    nn::Simclr model(options);
    const at::Tensor views = at::rand({2 * b, 3, side, side}, device);
    return {model.ptr(), [=]() mutable {
              const at::Tensor drop_path = at::rand({2 * b, model->num_draws()}, device);
              const at::Tensor projected = model->project(model->features(views, drop_path));
              return nn::nt_xent(projected.slice(0, 0, b), projected.slice(0, b), options.contrast.temperature);
            }};
  }
  nn::MaeOptions options;
  options.swin.image_size = {side, side};
  nn::Mae model(options);
  return {model.ptr(), [=]() mutable {
            return model->forward(image, draws(model->num_units()), draws(2 * model->num_blocks())).loss;
          }};
}

struct Timing {
  std::vector<double> step_s;  // after the warm-up; of a GPU all are their mean
  double first_s = 0;          // the first one of all
  double waited_s = 0;         // in these steps, for gradients of other ranks
  double loss = 0;             // of the last one

  double median_s() const {
    std::vector<double> sorted = step_s;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
  double sum_s() const { return std::accumulate(step_s.begin(), step_s.end(), 0.0); }
};

// Gives a step to the device.
using GiveStep = std::function<train::ComingResult()>;

GiveStep give_step_of(train::Step& step, train::StepGraph* graph) {
  if (graph != nullptr) return [graph] { return train::ComingResult(graph->run({}, /*lr=*/1e-4, {})); };
  return [&step] {
    step.begin();
    step.add({}, /*share=*/1.0, /*is_last=*/true);
    return train::ComingResult(step.finish(step.on_device(/*lr=*/1e-4), step.on_device(train::StepRequests{})));
  };
}

// On the CPU one step after the other. A GPU is given all of them at once, as training does.
Timing time_steps(const BenchArguments& arguments, const GiveStep& give_step, at::Device device,
                  const train::World& world) {
  Timing timing;
  for (int64_t step = 0; step < arguments.warmup; ++step) {
    const auto start = Clock::now();
    give_step().read();
    if (step == 0) timing.first_s = seconds_since(start);
  }
  const double waited_in_warmup_s = world.gradient_wait_s();
  const auto all = Clock::now();
  for (int64_t step = 0; step < arguments.steps; ++step) {
    const auto start = Clock::now();
    const train::ComingResult result = give_step();
    if (!device.is_cuda() || step + 1 == arguments.steps) timing.loss = result.read().loss;
    timing.step_s.push_back(seconds_since(start));
  }
  if (device.is_cuda())
    timing.step_s.assign(timing.step_s.size(), seconds_since(all) / static_cast<double>(arguments.steps));
  if (arguments.warmup == 0) timing.first_s = timing.step_s.front();
  timing.waited_s = world.gradient_wait_s() - waited_in_warmup_s;
  return timing;
}

void time_checkpoint(const std::filesystem::path& file, const train::TrainingParts& parts,
                     nlohmann::ordered_json& result) {
  train::CheckpointWriter writer;
  const auto start = Clock::now();
  writer.start({train::take_checkpoint(file, parts, {}, {})});
  const auto copied = Clock::now();
  writer.finish();
  result["checkpoint_pause_s"] = seconds_between(start, copied);
  result["checkpoint_write_s"] = seconds_since(copied);
}

}  // namespace

void bench(const BenchArguments& arguments, train::World& world, std::ostream& out) {
  const at::Device device = train::resolve_device(arguments.device, world.launch().local_rank);
  world.connect(device, /*timeout_s=*/600);
  if (arguments.batch % world.size() != 0)
    throw Error(ExitCode::usage,
                concat("--batch = ", arguments.batch, " does not divide over ", world.size(), " ranks"),
                "give a multiple");
  if (arguments.cuda_graph && !device.is_cuda())
    throw Error(ExitCode::usage, "--cuda-graph is for GPUs, and this runs on the CPU", "leave it out");
  train::configure_compute(device, arguments.threads, arguments.deterministic);
  const train::ComputeStream stream(device, arguments.cuda_graph);
  train::Plan plan;
  plan.precision = train::resolve_precision(arguments.precision, device);
  plan.device = device;
  torch::manual_seed(0);
  BenchArguments own = arguments;
  own.batch = arguments.batch / world.size();
  RandomImages task = make_task(own, device);
  task.module().to(device);
  task.module().train();
  const auto optimizer = train::make_optimizer(task.module(), {});
  train::LossScale scale(plan.precision, device);
  train::Step step(task, *optimizer, scale, plan, world);
  world.share_gradients(train::trained_parameters(task.module()), /*compress=*/false);
  train::StepGraph graph(step);
  const GiveStep give_step = give_step_of(step, arguments.cuda_graph ? &graph : nullptr);

  const Timing timing = time_steps(arguments, give_step, device, world);
  nlohmann::ordered_json result = {{"model", arguments.model},
                                   {"images_per_s", static_cast<double>(arguments.batch) / timing.median_s()},
                                   {"peak_rss_mb", static_cast<double>(train::peak_memory_bytes(device)) / 1048576.0},
                                   {"loss", timing.loss},
                                   {"precision", train::to_string(plan.precision)},
                                   {"device", device.str()},
                                   {"batch", arguments.batch},
                                   {"first_step_s", timing.first_s},
                                   {"step_s", timing.step_s}};
  result["flop_per_image"] = step.flop_per_sample() / static_cast<double>(own.batch);
  if (const double most = train::peak_flops(device, plan.precision != train::Precision::fp32); most > 0)
    result["peak_flops"] = most * static_cast<double>(world.size());
  if (world.size() > 1) {
    result["ranks"] = world.size();
    result["comm_wait_share"] = timing.waited_s / timing.sum_s();
  }
  if (!arguments.checkpoint.empty() && world.is_first())
    time_checkpoint(arguments.checkpoint, {task.module(), *optimizer, scale}, result);
  if (!arguments.trace.empty()) {
    const auto one_more = [&] { give_step().read(); };
    world.is_first() ? trace(arguments.trace, device, one_more) : one_more();
  }
  world.keep_gradients();
  out << result.dump() << "\n";
}

}  // namespace vmae::run
