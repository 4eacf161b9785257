// `vmae bench`: the training steps of pretraining and fine-tuning, on random images, so that scripts/bench can set it beside other implementations.
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <ostream>

#include "vmae/nn/classifier.h"
#include "vmae/nn/losses.h"
#include "vmae/nn/mae.h"
#include "vmae/nn/unet.h"
#include "vmae/tools/bench.h"
#include "vmae/train/checkpoint_writer.h"
#include "vmae/train/device.h"
#include "vmae/train/optim.h"
#include "vmae/train/precision.h"
#include "vmae/train/world.h"

namespace vmae::run {

namespace {

// One training step's loss of each model, with random masks and drop path as in training.
struct Step {
  std::shared_ptr<torch::nn::Module> module;
  std::function<at::Tensor()> loss;
};

Step make_step(const BenchArguments& arguments, at::Device device) {
  const int64_t b = arguments.batch, side = arguments.image_size;
  const at::Tensor image = at::randn({b, 3, side, side}, device);
  const auto draws = [=](int64_t count) { return at::rand({b, count}, device); };
  if (arguments.model == "swin-unet") {
    nn::UnetOptions options{.num_classes = 9};
    options.swin.image_size = {side, side};
    nn::SwinUnet model(options);
    const at::Tensor mask = at::randint(9, {b, side, side}, at::TensorOptions(at::kByte).device(device));
    return {model.ptr(), [=]() mutable { return nn::segmentation_loss(model->forward(image, draws(model->num_draws())), mask, {}, {}, -1); }};
  }
  if (arguments.model == "swin-classifier") {
    nn::ClassifierOptions options{.num_classes = 5};
    options.swin.image_size = {side, side};
    nn::SwinClassifier model(options);
    const at::Tensor labels = at::one_hot(at::randint(5, {b}, at::TensorOptions(at::kLong).device(device)), 5).to(at::kFloat);
    return {model.ptr(), [=]() mutable { return nn::multi_class_loss(model->forward(image, draws(model->num_draws())), labels, 0.0, {}); }};
  }
  nn::MaeOptions options;
  options.swin.image_size = {side, side};
  nn::Mae model(options);
  return {model.ptr(), [=]() mutable { return model->forward(image, draws(model->num_units()), draws(2 * model->num_blocks())).loss; }};
}

}  // namespace

void bench(const BenchArguments& arguments, train::World& world, std::ostream& out) {
  const at::Device device = train::resolve_device(arguments.device, world.launch().local_rank);
  world.connect(device, /*timeout_s=*/600);
  if (arguments.batch % world.size() != 0)
    throw Error(ExitCode::usage, concat("--batch = ", arguments.batch, " does not divide over ", world.size(), " ranks"), "give a multiple");
  train::configure_compute(device, arguments.threads);
  const train::Precision precision = train::resolve_precision(arguments.precision, device);
  torch::manual_seed(0);
  const int64_t b = arguments.batch;
  BenchArguments own = arguments;
  own.batch = b / world.size();
  const Step one = make_step(own, device);
  one.module->to(device);
  one.module->train();
  train::AdamW optimizer(*one.module, {});
  world.share_gradients(optimizer.parameters(), /*compress=*/false);

  std::vector<double> step_s;
  double loss_value = 0, waited_in_warmup_s = 0;
  for (int64_t step = 0; step < arguments.warmup + arguments.steps; ++step) {
    if (step == arguments.warmup) waited_in_warmup_s = world.gradient_wait_s();
    const auto start = std::chrono::steady_clock::now();
    at::Tensor loss;
    {
      const train::Autocast autocast(device.type(), precision);
      loss = one.loss();
    }
    world.backward(loss, /*synchronise=*/true);
    optimizer.step(/*lr=*/1e-4);
    optimizer.clear_gradients();
    loss_value = loss.item<double>();
    if (step >= arguments.warmup) step_s.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::vector<double> sorted = step_s;
  std::sort(sorted.begin(), sorted.end());
  const double median_s = sorted[sorted.size() / 2];
  nlohmann::ordered_json result = {{"model", arguments.model},
                                   {"images_per_s", static_cast<double>(b) / median_s},
                                   {"peak_rss_mb", static_cast<double>(train::peak_memory_bytes(device)) / 1048576.0},
                                   {"loss", loss_value},
                                   {"precision", train::to_string(precision)},
                                   {"device", device.str()},
                                   {"batch", b},
                                   {"step_s", step_s}};
  if (world.size() > 1) {
    double sum_s = 0;
    for (const double one_s : step_s) sum_s += one_s;
    result["ranks"] = world.size();
    result["comm_wait_share"] = (world.gradient_wait_s() - waited_in_warmup_s) / sum_s;
  }
  if (!arguments.checkpoint.empty() && world.is_first()) {
    train::LossScale scale(precision, device);
    train::CheckpointWriter writer;
    const auto start = std::chrono::steady_clock::now();
    writer.start({train::take_checkpoint(arguments.checkpoint, {*one.module, optimizer, scale}, {}, {})});
    const auto copied = std::chrono::steady_clock::now();
    writer.finish();
    result["checkpoint_pause_s"] = std::chrono::duration<double>(copied - start).count();
    result["checkpoint_write_s"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - copied).count();
  }
  world.keep_gradients();
  out << result.dump() << "\n";
}

}  // namespace vmae::run
