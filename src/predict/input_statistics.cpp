#include "vmae/predict/input_statistics.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "vmae/core/error.h"
#include "vmae/core/spread.h"

namespace vmae::run {

namespace {

void widen(std::vector<InputStatistics::Range>& ranges, const at::Tensor& values) {  // values (C)
  const at::Tensor all = values.to(at::kDouble);
  for (int64_t c = 0; c < all.size(0); ++c) {
    const double value = all[c].item<double>();
    if (static_cast<int64_t>(ranges.size()) == c) ranges.push_back({value, value});
    InputStatistics::Range& range = ranges[static_cast<size_t>(c)];
    range = {std::min(range.low, value), std::max(range.high, value)};
  }
}

// (n, C, pixels) -> (n, 1), or (n, 0) of one channel
at::Tensor distance_of_channels(const at::Tensor& pixels) {
  const int64_t last = pixels.size(1) - 1;
  const at::Tensor distance = (pixels.select(1, 0) - pixels.select(1, last)).abs().mean(1, /*keepdim=*/true);
  return distance.slice(1, 0, last == 0 ? 0 : 1);
}

at::Tensor is_outside(const at::Tensor& values, const std::vector<InputStatistics::Range>& ranges) {  // (n, C) -> (n)
  // of inputs whose standard deviation is about 1
  constexpr double kShare = 0.1, kLeast = 0.05;
  at::Tensor outside = at::zeros({values.size(0)}, values.options().dtype(at::kBool));
  for (int64_t c = 0; c < values.size(1); ++c) {
    const InputStatistics::Range& range = ranges[static_cast<size_t>(c)];
    const double margin = std::max(kLeast, kShare * (range.high - range.low));
    const at::Tensor column = values.select(1, c);
    outside |= (column < range.low - margin) | (column > range.high + margin);
  }
  return outside;
}

nlohmann::json ranges_json(const std::vector<InputStatistics::Range>& ranges) {
  auto json = nlohmann::json::array();
  for (const auto& range : ranges) json.push_back({range.low, range.high});
  return json;
}

std::vector<InputStatistics::Range> ranges_of(const nlohmann::json& json) {
  std::vector<InputStatistics::Range> ranges;
  for (const auto& pair : json) ranges.push_back({pair.at(0).get<double>(), pair.at(1).get<double>()});
  return ranges;
}

}  // namespace

std::optional<InputStatistics> input_statistics(const data::Dataset& train, const data::AugmentOptions& augment) {
  constexpr int64_t kMost = 32, kFewest = 16;
  const data::AugmentOptions evaluation = data::evaluation_augmentation(augment);
  InputStatistics statistics;
  int64_t num_read = 0;
  for (const int64_t index : evenly_spread(train.size(), kMost)) {
    try {
      // (C, H W)
      const at::Tensor image = train.load(index, /*seed=*/0, /*epoch=*/0, &evaluation).image.flatten(1);
      widen(statistics.mean, image.mean(1));
      widen(statistics.std, image.std(1));
      widen(statistics.distance, distance_of_channels(image.unsqueeze(0))[0]);
      ++num_read;
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;  // the loader will quarantine it
    }
  }
  return num_read < kFewest ? std::nullopt : std::optional(statistics);
}

at::Tensor are_unlike(const at::Tensor& input, const InputStatistics& statistics) {
  if (static_cast<int64_t>(statistics.mean.size()) != input.size(1)) return at::zeros({input.size(0)}, at::kBool);
  const at::Tensor pixels = input.flatten(2);  // (n, C, H W)
  return is_outside(pixels.mean(2), statistics.mean) | is_outside(pixels.std(2), statistics.std) |
         is_outside(distance_of_channels(pixels), statistics.distance);
}

std::string to_json(const InputStatistics& statistics) {
  return nlohmann::json({{"mean", ranges_json(statistics.mean)},
                         {"std", ranges_json(statistics.std)},
                         {"distance", ranges_json(statistics.distance)}})
      .dump();
}

std::optional<InputStatistics> input_statistics_of(const std::string& text) {
  try {
    const auto json = nlohmann::json::parse(text);
    InputStatistics statistics{ranges_of(json.at("mean")), ranges_of(json.at("std")), ranges_of(json.at("distance"))};
    const size_t channels = statistics.mean.size();
    const size_t num_distances = channels > 1 ? 1 : 0;
    if (statistics.std.size() != channels || statistics.distance.size() != num_distances) return std::nullopt;
    return statistics;
  } catch (const nlohmann::json::exception&) {  // written by another version: prediction does without
    return std::nullopt;
  }
}

}  // namespace vmae::run
