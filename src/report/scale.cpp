// Ranges of axes, their ticks, and the way from values to coordinates.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "plot_parts.h"
#include "vmae/report/table.h"

namespace vmae::report {
namespace {

bool is_range(double low, double high) {
  return is_plottable(low) && is_plottable(high) &&
         high - low > std::max(1e-280, 1e-9 * std::max(std::abs(low), std::abs(high)));
}

// 1, 2 or 5 times a power of ten, so that the range has four to eight of them.
double tick_step(double range) {
  const double power = std::pow(10.0, std::floor(std::log10(range / 5)));
  const double share = range / 5 / power;
  if (share < 1.4) return power;
  if (share < 3.5) return power * 2;
  return power * (share < 7.5 ? 5 : 10);
}

std::string short_number(double value, int digits) {
  std::array<char, 64> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.*g", digits, value);
  const std::string text = buffer.data();
  return text.starts_with('-') ? "\u2212" + text.substr(1) : text;
}

std::string tick_text(double value, double step) {
  if (std::abs(value) < step * 1e-6) value = 0;
  if (std::abs(value) >= 1e6 || step < 1e-5) return short_number(value, 4);
  const std::string text = number(value, std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9))));
  return text.starts_with('-') ? "\u2212" + text.substr(1) : text;
}

}  // namespace

bool is_plottable(double value) { return std::isfinite(value) && std::abs(value) < 1e280; }

double Scale::operator()(double value) const {
  const double share = is_log ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
  return from + share * (to - from);
}

std::pair<double, double> axis_range(double low, double high, const std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  if (is_range(low, high))
    return values.empty() ? std::pair{low, high} : std::pair{std::min(low, *least), std::max(high, *most)};
  if (values.empty()) return {0, 1};
  if (!is_range(*least, *most)) {
    const double half = std::max(0.1 * std::abs(*least), *least == 0 ? 1 : 1e-270);
    return {*least - half, *most + half};
  }
  const double step = tick_step(*most - *least);
  return {std::floor(*least / step) * step, std::ceil(*most / step) * step};
}

std::pair<double, double> log_axis_range(double low, double high, const std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  if (low > 0 && is_range(low, high))
    return values.empty() ? std::pair{low, high} : std::pair{std::min(low, *least), std::max(high, *most)};
  if (values.empty()) return {1, 10};
  return is_range(*least, *most) ? std::pair{*least / 1.15, *most * 1.15} : std::pair{*least / 2, *most * 2};
}

std::vector<Tick> ticks(double low, double high) {
  std::vector<Tick> out;
  const double step = tick_step(high - low);
  for (double k = std::ceil(low / step - 1e-6); k * step <= high + step * 1e-6 && out.size() < 20; ++k)
    out.push_back({k * step, tick_text(k * step, step)});
  return out;
}

std::vector<Tick> log_ticks(double low, double high) {
  std::vector<Tick> out;
  const double decades = std::log10(high / low);
  const auto stride = std::max(1.0, std::ceil(decades / 8));
  for (double power = std::floor(std::log10(low)); power <= std::log10(high) + 1e-9; power += stride) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double value = factor * std::pow(10.0, power);
      if (value < low * (1 - 1e-9) || value > high * (1 + 1e-9) || (factor > 1 && decades > 2.5)) continue;
      out.push_back({value, value < 1e6 && value >= 1e-4 ? short_number(value, 7) : short_number(value, 3)});
    }
  }
  return out;
}

std::vector<Tick> ticks_at(const std::vector<double>& values, double low, double high) {
  std::vector<Tick> out;
  for (const double value : values) {
    if (value >= low && value <= high) out.push_back({value, short_number(value, 7)});
  }
  std::sort(out.begin(), out.end(), [](const Tick& a, const Tick& b) { return a.value < b.value; });
  return out;
}

}  // namespace vmae::report
