// nnU-Net's own program runs its networks in half precision on a GPU, one tile after the other, and adds tiles up in
// half precision too. Here tiles go together, and sums are in single precision.
#include "nnunet_predictor.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "alike.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/core/signals.h"
#include "vmae/nnunet/numpy.h"

namespace vmae::run {
namespace {

constexpr double kWeightOfMiddle = 10;
constexpr int64_t kRows = 2, kColumns = 3;  // dimensions

// No mirror image, and all combinations of the axes.
std::vector<std::vector<int64_t>> combinations(const std::vector<int64_t>& axes) {
  std::vector<std::vector<int64_t>> all{{}};
  for (const int64_t axis : axes) {
    const std::vector<std::vector<int64_t>> before = all;
    for (std::vector<int64_t> dimensions : before) {
      dimensions.push_back(kRows + axis);
      all.push_back(std::move(dimensions));
    }
  }
  return all;
}

// exp(-x^2 / (2 sigma^2)) about a pixel, up to four standard deviations from it.
at::Tensor bell(int64_t side) {
  constexpr double kSigmaOfSide = 1.0 / 8, kWidest = 4;
  const double sigma = static_cast<double>(side) * kSigmaOfSide;
  const auto radius = static_cast<int64_t>(std::floor(kWidest * sigma + 0.5));
  const at::Tensor distance = at::arange(side, at::kDouble) - side / 2;
  return (distance.square() * (-0.5 / (sigma * sigma))).exp().masked_fill(distance.abs() > radius, 0);
}

at::Tensor slices_of(const nnunet::PreprocessedCase& one, int64_t first, int64_t count) {
  const int64_t pixels = one.shape[1] * one.shape[2];
  at::Tensor slices = at::empty({count, std::ssize(one.channels), one.shape[1], one.shape[2]}, at::kFloat);
  float* to = slices.mutable_data_ptr<float>();
  for (int64_t slice = first; slice < first + count; ++slice) {
    for (const std::vector<float>& channel : one.channels)
      to = std::copy_n(channel.begin() + slice * pixels, pixels, to);
  }
  return slices;
}

}  // namespace

std::vector<int64_t> nnunet_tile_starts(int64_t length, int64_t side, double overlap) {
  const double step = static_cast<double>(side) * (1 - overlap), room = static_cast<double>(length - side);
  const auto intervals = static_cast<int64_t>(std::ceil(room / step));
  std::vector<int64_t> starts{0};
  for (int64_t i = 1; i <= intervals; ++i)
    starts.push_back(nnunet::round_half_even(room / static_cast<double>(intervals) * static_cast<double>(i)));
  return starts;
}

at::Tensor nnunet_tile_weight(int64_t height, int64_t width) {
  const at::Tensor weight = (at::outer(bell(height), bell(width)) * kWeightOfMiddle).to(at::kHalf).to(at::kFloat);
  return weight.clamp_min(weight.masked_select(weight > 0).min().item<double>());
}

NnUnetPredictor::NnUnetPredictor(std::vector<LoadedModel> models, const NnUnetTiles& tiles, at::Device device,
                                 train::Precision precision)
    : models_(std::move(models)), tiles_(tiles), device_(device), precision_(precision), mirrors_{{}} {
  require_alike(models_);
  const std::vector<int64_t>& axes = model().mirror_axes;
  if (tiles_.mirror && axes.empty()) log::info("no mirror images: the model never saw any in training");
  if (tiles_.mirror) mirrors_ = combinations(axes);
  const std::vector<int64_t>& patch = model().card.image.image_size;
  weight_ = nnunet_tile_weight(patch[0], patch[1]).to(device).view({1, 1, patch[0], patch[1]});
}

at::Tensor NnUnetPredictor::of_tiles(const at::Tensor& tiles) {
  at::Tensor sum;
  for (LoadedModel& one : models_) {
    for (const std::vector<int64_t>& mirror : mirrors_) {
      const train::Autocast autocast(device_.type(), precision_);
      at::Tensor logits = one.forward(mirror.empty() ? tiles : tiles.flip(mirror)).to(at::kFloat);
      if (!mirror.empty()) logits = logits.flip(mirror);
      sum = sum.defined() ? sum + logits : logits;
    }
  }
  return sum / static_cast<double>(models_.size() * mirrors_.size());
}

at::Tensor NnUnetPredictor::of_canvas(const at::Tensor& canvas) {
  const std::vector<int64_t>& patch = model().card.image.image_size;
  const int64_t n = canvas.size(0), height = canvas.size(kRows), width = canvas.size(kColumns);
  std::vector<std::pair<int64_t, int64_t>> places;
  for (const int64_t row : nnunet_tile_starts(height, patch[0], tiles_.overlap)) {
    for (const int64_t column : nnunet_tile_starts(width, patch[1], tiles_.overlap)) places.emplace_back(row, column);
  }
  const auto part = [&](const at::Tensor& whole, std::pair<int64_t, int64_t> place) {
    return whole.narrow(kRows, place.first, patch[0]).narrow(kColumns, place.second, patch[1]);
  };
  at::Tensor sum, weight = at::zeros({1, 1, height, width}, canvas.options());
  const auto per_batch = static_cast<size_t>(std::max<int64_t>(1, tiles_.batch / n));
  for (size_t begin = 0; begin < places.size(); begin += per_batch) {
    if (stop_requested()) throw Error(ExitCode::stopped, "stopped");
    const size_t end = std::min(places.size(), begin + per_batch);
    std::vector<at::Tensor> tiles;
    for (size_t i = begin; i < end; ++i) tiles.push_back(part(canvas, places[i]));
    const at::Tensor logits = of_tiles(at::cat(tiles));  // (tiles * n, heads, H, W)
    if (!sum.defined()) sum = at::zeros({n, logits.size(1), height, width}, logits.options());
    for (size_t i = begin; i < end; ++i) {
      part(sum, places[i]).add_(logits.narrow(0, static_cast<int64_t>(i - begin) * n, n) * weight_);
      part(weight, places[i]).add_(weight_);
    }
  }
  return sum / weight;
}

at::Tensor NnUnetPredictor::of_slices(const at::Tensor& slices) {
  const std::vector<int64_t>& patch = model().card.image.image_size;
  const int64_t height = slices.size(kRows), width = slices.size(kColumns);
  const int64_t rows = std::max<int64_t>(0, patch[0] - height), columns = std::max<int64_t>(0, patch[1] - width);
  const int64_t top = rows / 2, left = columns / 2;  // the odd one at the end
  const at::Tensor canvas = at::constant_pad_nd(slices.to(device_), {left, columns - left, top, rows - top});
  return of_canvas(canvas).narrow(kRows, top, height).narrow(kColumns, left, width).cpu();
}

at::Tensor NnUnetPredictor::logits(const nnunet::PreprocessedCase& one) {
  const at::NoGradGuard no_grad;
  const std::vector<int64_t>& patch = model().card.image.image_size;
  const auto num_starts = [&](size_t axis) {
    return std::ssize(nnunet_tile_starts(std::max(one.shape[axis + 1], patch[axis]), patch[axis], tiles_.overlap));
  };
  const int64_t at_once = std::max<int64_t>(1, tiles_.batch / (num_starts(0) * num_starts(1)));
  at::Tensor all;
  for (int64_t first = 0; first < one.shape[0]; first += at_once) {
    const int64_t count = std::min(at_once, one.shape[0] - first);
    const at::Tensor logits = of_slices(slices_of(one, first, count));
    if (!all.defined()) all = at::empty({logits.size(1), one.shape[0], one.shape[1], one.shape[2]}, at::kFloat);
    all.narrow(1, first, count).copy_(logits.transpose(0, 1));
  }
  return all;
}

}  // namespace vmae::run
