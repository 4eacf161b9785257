#include "thinning.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace vmae::report {
namespace {

// Of neighbours in the same column (a unit wide): the first,
// the lowest, the highest and the last (Jugel et al. 2014, M4).
std::vector<Point> by_columns(const std::vector<Point>& curve, double width) {
  std::vector<Point> out;
  for (size_t begin = 0; begin < curve.size();) {
    const double column = std::floor(curve[begin].x / width);
    size_t end = begin, low = begin, high = begin;
    for (; end < curve.size() && std::floor(curve[end].x / width) == column; ++end) {
      if (curve[end].y < curve[low].y) low = end;
      if (curve[end].y > curve[high].y) high = end;
    }
    std::vector<size_t> kept{begin, low, high, end - 1};
    std::sort(kept.begin(), kept.end());
    kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
    for (const size_t i : kept) out.push_back(curve[i]);
    begin = end;
  }
  return out;
}

double distance(const Point& p, const Point& a, const Point& b) {
  const double dx = b.x - a.x, dy = b.y - a.y, squared = dx * dx + dy * dy;
  const double t = squared > 0 ? std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / squared, 0.0, 1.0) : 0;
  return std::hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

// Ramer 1972, Douglas and Peucker 1973.
std::vector<Point> within(const std::vector<Point>& curve, double tolerance) {
  std::vector<bool> stays(curve.size(), false);
  const auto [low, high] =
      std::minmax_element(curve.begin(), curve.end(), [](const Point& a, const Point& b) { return a.y < b.y; });
  std::vector<size_t> fixed{0, static_cast<size_t>(low - curve.begin()), static_cast<size_t>(high - curve.begin()),
                            curve.size() - 1};
  std::sort(fixed.begin(), fixed.end());
  std::vector<std::pair<size_t, size_t>> open;
  for (size_t k = 0; k < fixed.size(); ++k) {
    stays[fixed[k]] = true;
    if (k > 0) open.emplace_back(fixed[k - 1], fixed[k]);
  }
  while (!open.empty()) {
    const auto [begin, end] = open.back();
    open.pop_back();
    size_t farthest = begin;
    double most = tolerance;
    for (size_t i = begin + 1; i < end; ++i) {
      if (const double d = distance(curve[i], curve[begin], curve[end]); d > most) {
        most = d;
        farthest = i;
      }
    }
    if (farthest == begin) continue;
    stays[farthest] = true;
    open.emplace_back(begin, farthest);
    open.emplace_back(farthest, end);
  }
  std::vector<Point> out;
  for (size_t i = 0; i < curve.size(); ++i) {
    if (stays[i]) out.push_back(curve[i]);
  }
  return out;
}

}  // namespace

std::vector<Point> thinned(const std::vector<Point>& curve, size_t most) {
  if (curve.size() < 3) return curve;
  std::vector<Point> out = within(by_columns(curve, 0.5), 0.25);
  for (double factor = 2; out.size() > most && factor < 100; factor *= 2)
    out = within(by_columns(curve, 0.5 * factor), 0.25 * factor);
  return out;
}

}  // namespace vmae::report
