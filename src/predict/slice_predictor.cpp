// A slice is put on a canvas: the network's grid, or, where the scale of the pixels is to be
// kept, a larger one, which is then looked at tile by tile. Neighbouring tiles overlap and
// are blended with Gaussian weights (Isensee et al. 2021), so that no edge of a tile shows.
#include "slice_predictor.h"

#include <ATen/ops/upsample_bilinear2d.h>

#include <cmath>

#include "alike.h"
#include "vmae/core/log.h"
#include "vmae/data/transforms.h"
#include "vmae/train/transfer.h"

namespace vmae::run {

namespace {

struct Canvas {
  data::ImageOptions options;                          // image_size: the canvas; resize: how the slice lies on it
  int64_t row = 0, column = 0, height = 0, width = 0;  // where
};

int64_t rounded(double value) { return std::max<int64_t>(1, std::llround(value)); }

Canvas canvas_for(int64_t height, int64_t width, const data::ImageOptions& image, const std::string& tiles) {
  Canvas canvas{image, 0, 0, image.image_size[0], image.image_size[1]};
  const double rows = static_cast<double>(image.image_size[0]), columns = static_cast<double>(image.image_size[1]);
  const double by_height = rows / static_cast<double>(height), by_width = columns / static_cast<double>(width);
  std::string& resize = canvas.options.resize;
  if (tiles == "always") resize = "none";
  if (tiles == "never" && resize != "pad") resize = "stretch";
  if (resize == "stretch") return canvas;
  if (resize == "none") {
    canvas.height = height;
    canvas.width = width;
  } else {
    const double scale = resize == "pad" ? std::min(by_height, by_width) : std::max(by_height, by_width);
    canvas.height = rounded(scale * static_cast<double>(height));
    canvas.width = rounded(scale * static_cast<double>(width));
  }
  if (resize == "pad") {
    canvas.height = std::min(canvas.height, image.image_size[0]);
    canvas.width = std::min(canvas.width, image.image_size[1]);
  }
  canvas.options.image_size = {std::max(canvas.height, image.image_size[0]),
                               std::max(canvas.width, image.image_size[1])};
  if (resize == "crop") resize = "stretch";  // onto a canvas of its own aspect, of which nothing is cut
  canvas.row = (canvas.options.image_size[0] - canvas.height) / 2;
  canvas.column = (canvas.options.image_size[1] - canvas.width) / 2;
  return canvas;
}

// Evenly spaced, from edge to edge.
std::vector<int64_t> tile_starts(int64_t length, int64_t side, double overlap) {
  const double step = std::max(1.0, static_cast<double>(side) * (1.0 - overlap)),
               room = static_cast<double>(length - side);
  const auto intervals = static_cast<int64_t>(std::ceil(room / step));
  std::vector<int64_t> starts{0};
  for (int64_t i = 1; i <= intervals; ++i)
    starts.push_back(std::llround(room * static_cast<double>(i) / static_cast<double>(intervals)));
  return starts;
}

// exp(-x^2 / (2 sigma^2)) about the centre with sigma = side / 8, in both
// directions; nowhere so small that a division by the sum would lose digits.
at::Tensor gaussian(int64_t height, int64_t width) {
  const auto along = [](int64_t side) {
    const double sigma = static_cast<double>(side) / 8.0, centre = static_cast<double>(side - 1) / 2.0;
    return ((at::arange(side, at::kDouble) - centre).square() / (-2.0 * sigma * sigma)).exp();
  };
  return at::outer(along(height), along(width)).clamp_min(1e-4).to(at::kFloat).view({1, 1, height, width});
}

}  // namespace

at::Tensor network_input(const std::vector<io::Image>& slices, const std::vector<data::IntensityRange>& ranges,
                         const data::ImageOptions& image, bool minmax) {
  data::Augmentation evaluation;
  evaluation.minmax = minmax;
  const auto n = static_cast<int64_t>(slices.size());
  at::Tensor input = at::empty({n, image.in_channels, image.image_size[0], image.image_size[1]}, at::kFloat);
  for (int64_t i = 0; i < n; ++i) {
    const io::Image& slice = slices[static_cast<size_t>(i)];
    data::to_input({slice.height,
                    slice.width,
                    slice.channels,
                    io::StoredType::f32,
                    slice.pixels.data(),
                    {},
                    ranges[ranges.size() == 1 ? 0 : static_cast<size_t>(i)],
                    nullptr},
                   image, evaluation, {input[i].mutable_data_ptr<float>()});
  }
  return input;
}

SlicePredictor::SlicePredictor(std::vector<LoadedModel> models, SliceOptions options, at::Device device,
                               train::Precision precision)
    : models_(std::move(models)), options_(std::move(options)), device_(device), precision_(precision) {
  const ModelCard& first = model().card;
  if (options_.mirror && (first.mirrors == "none" || first.mirrors == "unknown")) {
    const bool is_none = first.mirrors == "none";
    log::warning(concat("--mirror: ",
                        is_none ? "the model never saw mirror images in training (data.flip_horizontal, "
                                  "data.flip_vertical and data.rot90 were 0)"
                                : "the weights do not say whether training mirrored images",
                        ": the mean over them may be worse than the image alone"));
  } else if (options_.mirror && first.mirrors != "both") {
    log::info(concat("--mirror: ", first.mirrors, " alone, as in training"));
  }
  tile_weight_ = gaussian(first.image.image_size[0], first.image.image_size[1]).to(device);
  require_alike(models_);
}

at::Tensor SlicePredictor::of_network_input(const at::Tensor& input) {
  std::vector<std::vector<int64_t>> mirrors{{}};
  if (options_.mirror) {
    const std::string& learnt = model().card.mirrors;
    if (learnt != "horizontal") mirrors.push_back({2});
    if (learnt != "vertical") mirrors.push_back({3});
    if (mirrors.size() == 3) mirrors.push_back({2, 3});
  }
  at::Tensor sum;
  for (LoadedModel& one : models_) {
    for (const auto& axes : mirrors) {
      const train::Autocast autocast(device_.type(), precision_);
      at::Tensor p = one.forward(axes.empty() ? input : input.flip(axes)).to(at::kFloat);
      p = one.is_segmenter() || !one.card.is_multi_label ? at::softmax(p, 1) : at::sigmoid(p);
      if (one.is_segmenter() && !axes.empty()) p = p.flip(axes);
      sum = sum.defined() ? sum + p : p;
    }
  }
  return sum / static_cast<double>(models_.size() * mirrors.size());
}

at::Tensor SlicePredictor::stretched(const at::Tensor& tiles) const {
  const auto per_channel = [&](const std::vector<double>& values) {
    return at::tensor(values, at::kFloat).to(tiles.device()).view({1, -1, 1, 1});
  };
  const at::Tensor mean = per_channel(model().card.image.mean), std = per_channel(model().card.image.std),
                   unit = tiles * std + mean;
  const at::Tensor low = unit.amin(at::IntArrayRef({1, 2, 3}), /*keepdim=*/true),
                   high = unit.amax(at::IntArrayRef({1, 2, 3}), /*keepdim=*/true);
  return ((unit - low) / (high - low).clamp_min(1e-12) - mean) / std;
}

at::Tensor SlicePredictor::of_canvas(const at::Tensor& canvas) {
  const auto& size = model().card.image.image_size;
  const int64_t n = canvas.size(0), height = canvas.size(2), width = canvas.size(3);
  if (height == size[0] && width == size[1]) return of_network_input(canvas);
  std::vector<std::pair<int64_t, int64_t>> places;
  for (const int64_t row : tile_starts(height, size[0], options_.overlap)) {
    for (const int64_t column : tile_starts(width, size[1], options_.overlap)) places.emplace_back(row, column);
  }
  at::Tensor sum, weight = at::zeros({1, 1, height, width}, canvas.options());
  const auto part = [&](const at::Tensor& whole, std::pair<int64_t, int64_t> place) {
    return whole.slice(2, place.first, place.first + size[0]).slice(3, place.second, place.second + size[1]);
  };
  const auto per_batch = static_cast<size_t>(std::max<int64_t>(1, options_.batch / n));
  for (size_t begin = 0; begin < places.size(); begin += per_batch) {
    const size_t end = std::min(places.size(), begin + per_batch);
    std::vector<at::Tensor> tiles;
    for (size_t i = begin; i < end; ++i) tiles.push_back(part(canvas, places[i]));
    // (tiles * n, classes, H, W)
    const at::Tensor p = of_network_input(model().card.minmax ? stretched(at::cat(tiles)) : at::cat(tiles));
    if (!sum.defined()) sum = at::zeros({n, p.size(1), height, width}, p.options());
    for (size_t i = begin; i < end; ++i) {
      const auto first = static_cast<int64_t>(i - begin) * n;
      part(sum, places[i]).add_(p.slice(0, first, first + n) * tile_weight_);
      part(weight, places[i]).add_(tile_weight_);
    }
  }
  return sum / weight;
}

at::Tensor SlicePredictor::probabilities(const std::vector<io::Image>& slices,
                                         const std::vector<data::IntensityRange>& ranges) {
  const at::NoGradGuard no_grad;
  const io::Image& first = slices.front();
  const ModelCard& card = model().card;
  const bool is_segmenter = model().is_segmenter();
  const Canvas canvas = is_segmenter ? canvas_for(first.height, first.width, card.image, options_.tiles)
                                     : Canvas{card.image, 0, 0, card.image.image_size[0], card.image.image_size[1]};
  const bool minmax = card.minmax && canvas.options.image_size == card.image.image_size;
  const at::Tensor on_cpu = network_input(slices, ranges, canvas.options, minmax),
                   input = train::to_device(on_cpu, device_);
  num_slices_ += on_cpu.size(0);
  if (card.input) num_unlike_ += are_unlike(on_cpu, *card.input).sum().item<int64_t>();
  if (!is_segmenter) return of_network_input(input);
  at::Tensor p = of_canvas(input)
                     .slice(2, canvas.row, canvas.row + canvas.height)
                     .slice(3, canvas.column, canvas.column + canvas.width);
  if (p.size(2) != first.height || p.size(3) != first.width)
    p = at::upsample_bilinear2d(p.contiguous(), {first.height, first.width}, /*align_corners=*/false);
  return p;
}

}  // namespace vmae::run
