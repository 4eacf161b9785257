// `vmae bench`: the same training step as pretraining, on random images, so that scripts/bench can set it beside other implementations.
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <ostream>

#include "vmae/nn/mae.h"
#include "vmae/run/tools.h"
#include "vmae/train/device.h"
#include "vmae/train/optim.h"
#include "vmae/train/precision.h"

namespace vmae::run {

void bench(const BenchArguments& arguments, std::ostream& out) {
  const at::Device device = train::resolve_device(arguments.device);
  train::configure_compute(device, arguments.threads);
  const train::Precision precision = train::resolve_precision(arguments.precision, device);
  torch::manual_seed(0);
  nn::MaeOptions options;
  options.swin.image_size = {arguments.image_size, arguments.image_size};
  nn::Mae model(options);
  model->to(device);
  model->train();
  train::AdamW optimizer(*model, {});
  const int64_t b = arguments.batch;
  const at::Tensor image = at::randn({b, options.swin.in_channels, arguments.image_size, arguments.image_size}, device);

  std::vector<double> step_s;
  double loss_value = 0;
  for (int64_t step = 0; step < arguments.warmup + arguments.steps; ++step) {
    const auto start = std::chrono::steady_clock::now();
    const at::Tensor noise = at::rand({b, model->num_units()}, device), drop_path = at::rand({b, 2 * model->num_blocks()}, device);
    at::Tensor loss;
    {
      const train::Autocast autocast(device.type(), precision);
      loss = model->forward(image, noise, drop_path).loss;
    }
    loss.backward();
    optimizer.step(/*lr=*/1e-4);
    optimizer.clear_gradients();
    loss_value = loss.item<double>();
    if (step >= arguments.warmup) step_s.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::vector<double> sorted = step_s;
  std::sort(sorted.begin(), sorted.end());
  const double median_s = sorted[sorted.size() / 2];
  const nlohmann::ordered_json result = {{"images_per_s", static_cast<double>(b) / median_s},
                                         {"peak_rss_mb", static_cast<double>(train::peak_memory_bytes(device)) / 1048576.0},
                                         {"loss", loss_value},
                                         {"precision", train::to_string(precision)},
                                         {"device", device.str()},
                                         {"batch", b},
                                         {"step_s", step_s}};
  out << result.dump() << "\n";
}

}  // namespace vmae::run
