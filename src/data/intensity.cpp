// Ranges from values: percentiles by selection, not by sorting; moments in double.
#include "vmae/data/intensity.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "vmae/core/error.h"

namespace vmae::data {
namespace {

constexpr size_t kMaxSampled = 1'000'000;

// An evenly spread subset; a stride that has no factor in common with the size visits every row and column.
std::vector<float> subsample(const std::vector<float>& values) {
  if (values.size() <= kMaxSampled) return values;
  size_t stride = (values.size() + kMaxSampled - 1) / kMaxSampled;
  while (std::gcd(stride, values.size()) != 1) ++stride;
  std::vector<float> subset;
  subset.reserve(values.size() / stride + 1);
  for (size_t i = 0; i < values.size(); i += stride) subset.push_back(values[i]);
  return subset;
}

double percentile_of(std::vector<float>& values, double percent) {
  const double position = percent / 100.0 * static_cast<double>(values.size() - 1);
  const auto below = values.begin() + static_cast<std::ptrdiff_t>(position);
  std::nth_element(values.begin(), below, values.end());
  const double low = *below, fraction = position - std::floor(position);
  if (fraction == 0.0) return low;
  return low + fraction * (*std::min_element(below + 1, values.end()) - low);
}

IntensityRange zscore_of(const std::vector<float>& values) {
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  const double squares = std::accumulate(values.begin(), values.end(), 0.0,
                                         [mean](double sum, float v) { return sum + (v - mean) * (v - mean); });
  return {mean, mean + std::sqrt(squares / n), /*clamp=*/false};
}

}  // namespace

void check(const ImageOptions& options) {
  const auto require = [](bool is_good, const std::string& problem) {
    if (!is_good) throw Error(ExitCode::usage, problem);
  };
  const auto num_channels = static_cast<size_t>(options.in_channels);
  const auto ascending_pair = [](const std::vector<double>& values) {
    return values.size() == 2 && values[0] < values[1];
  };
  require(options.image_size.size() == 2 && options.image_size[0] > 0 && options.image_size[1] > 0,
          "model.image_size must be [H, W], both at least 1");
  require(options.in_channels >= 1, concat("model.in_channels is ", options.in_channels, "; allowed: at least 1"));
  require(ascending_pair(options.percentiles),
          "data.percentiles must be two values, the lower first, as in [0.5, 99.5]");
  require(options.intensity != "window" || ascending_pair(options.window),
          "data.intensity is window, so data.window must be two values, the lower first, as in [-160, 240]");
  require(options.window.empty() || ascending_pair(options.window),
          "data.window must be two values, the lower first, as in [-160, 240], or empty");
  require(
      options.mean.size() == 1 || options.mean.size() == num_channels,
      concat("data.mean has ", options.mean.size(), " values; allowed: 1, or one per channel (", num_channels, ")"));
  require(options.std.size() == 1 || options.std.size() == num_channels,
          concat("data.std has ", options.std.size(), " values; allowed: 1, or one per channel (", num_channels, ")"));
}

ImageKind known_as(ImageKind kind, const std::string& modality) {
  if (!kind.modality.empty() || modality.empty()) return kind;
  kind.modality = modality;
  if (modality == "CT" && kind.units == io::Units::raw && !(kind.stored_max > 0)) kind.units = io::Units::hu;
  return kind;
}

IntensityRule intensity_rule(const ImageOptions& options, const ImageKind& kind) {
  const std::string& name = options.intensity;
  if (name == "window") return IntensityRule::window;
  if (name == "zscore") return IntensityRule::zscore;
  if (name == "minmax") return IntensityRule::minmax;
  if (name == "stored") return IntensityRule::stored;
  if (name == "percentile") return IntensityRule::percentile;
  const bool is_volume = !(kind.stored_max > 0);
  if (kind.units == io::Units::hu) return IntensityRule::window;
  if (kind.units == io::Units::suv) return IntensityRule::suv;
  if (kind.modality == "MR" || kind.modality == "PT")
    return is_volume || kind.stored_max > 255 ? IntensityRule::percentile : IntensityRule::stored;
  return is_volume ? IntensityRule::percentile : IntensityRule::stored;
}

bool needs_values(IntensityRule rule) { return rule == IntensityRule::percentile || rule == IntensityRule::zscore; }

IntensityRange fixed_range(IntensityRule rule, double stored_max, const ImageOptions& options) {
  if (rule == IntensityRule::window) {
    if (options.window.empty()) return {kSoftTissueWindow[0], kSoftTissueWindow[1]};
    return {options.window[0], options.window[1]};
  }
  if (rule == IntensityRule::suv) return {0.0, options.suv_max};
  if (rule == IntensityRule::minmax) return {0.0, 1.0, /*clamp=*/true, /*per_slice=*/true};
  if (!(stored_max > 0)) {
    throw Error(ExitCode::data,
                "has physical units, not a stored range, so data.intensity = stored has no meaning for it",
                "set data.intensity to auto, percentile or window");
  }
  return {0.0, stored_max};
}

IntensityRange intensity_range(const std::vector<float>& values, const ImageKind& kind, const ImageOptions& options) {
  const auto num_bad = std::count_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  if (num_bad > 0)
    throw Error(ExitCode::data, concat("holds ", num_bad, " values that are NaN or infinite, of ", values.size()),
                "replace them, for example by 0");
  const IntensityRule rule = intensity_rule(options, kind);
  if (!needs_values(rule)) return fixed_range(rule, kind.stored_max, options);
  if (rule == IntensityRule::zscore) return zscore_of(values);
  std::vector<float> subset = subsample(values);
  const double low = percentile_of(subset, options.percentiles[0]);
  return {low, percentile_of(subset, options.percentiles[1])};
}

}  // namespace vmae::data
