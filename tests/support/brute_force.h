#pragma once
// Surfaces and their distances by definition: every voxel, every pair.
// Nothing here uses what is under test, but for the struct Grid.
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "vmae/metrics/surface.h"

namespace vmae::test {

struct BruteForce {
  std::vector<double> a_to_b, b_to_a;

  BruteForce(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b, uint8_t label, const metrics::Grid& grid) {
    const auto of_a = surface(a, label, grid), of_b = surface(b, label, grid);
    a_to_b = nearest(of_a, of_b, grid);
    b_to_a = nearest(of_b, of_a, grid);
  }
  double hd95_pooled() const {
    std::vector<double> both = a_to_b;
    both.insert(both.end(), b_to_a.begin(), b_to_a.end());
    return percentile95(both);
  }
  double hd95_max_directed() const { return std::max(percentile95(a_to_b), percentile95(b_to_a)); }
  double asd() const {
    double sum = 0;
    for (const auto* list : {&a_to_b, &b_to_a}) {
      for (const double mm : *list) sum += mm;
    }
    return sum / static_cast<double>(a_to_b.size() + b_to_a.size());
  }
  double surface_dice(double tolerance_mm) const {
    double within = 0;
    for (const auto* list : {&a_to_b, &b_to_a}) {
      for (const double mm : *list) within += mm <= tolerance_mm + 1e-9 ? 1 : 0;
    }
    return within / static_cast<double>(a_to_b.size() + b_to_a.size());
  }

 private:
  using Point = std::array<int64_t, 3>;

  static std::vector<Point> surface(const std::vector<uint8_t>& labels, uint8_t label, const metrics::Grid& grid) {
    const auto is_class = [&](Point p) {
      for (size_t i = 0; i < 3; ++i) {
        if (p[i] < 0 || p[i] >= grid.size[i]) return false;
      }
      return labels[static_cast<size_t>(p[0] + grid.size[0] * (p[1] + grid.size[1] * p[2]))] == label;
    };
    std::vector<Point> points;
    Point p{};
    for (p[2] = 0; p[2] < grid.size[2]; ++p[2]) {
      for (p[1] = 0; p[1] < grid.size[1]; ++p[1]) {
        for (p[0] = 0; p[0] < grid.size[0]; ++p[0]) {
          bool is_surface = grid.num_voxels() == 1;
          for (size_t i = 0; i < 3; ++i) {
            if (grid.size[i] == 1) continue;
            Point before = p, behind = p;
            --before[i];
            ++behind[i];
            is_surface |= !is_class(before) || !is_class(behind);
          }
          if (is_class(p) && is_surface) points.push_back(p);
        }
      }
    }
    return points;
  }

  static std::vector<double> nearest(const std::vector<Point>& from, const std::vector<Point>& to,
                                     const metrics::Grid& grid) {
    std::vector<double> distances;
    if (to.empty()) return distances;
    for (const Point& p : from) {
      double best = INFINITY;
      for (const Point& q : to) {
        double sum = 0;
        for (size_t i = 0; i < 3; ++i) sum += std::pow(static_cast<double>(p[i] - q[i]) * grid.spacing_mm[i], 2);
        best = std::min(best, std::sqrt(sum));
      }
      distances.push_back(best);
    }
    return distances;
  }

  static double percentile95(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const double rank = 0.95 * static_cast<double>(values.size() - 1);
    const auto low = static_cast<size_t>(rank), high = std::min(low + 1, values.size() - 1);
    return values[low] + (rank - static_cast<double>(low)) * (values[high] - values[low]);
  }
};

// Two label maps of random boxes of the labels 1 to num_classes, some
// over the border, with a share of noise. A function of the seed alone.
struct RandomPair {
  metrics::Grid grid;
  std::vector<uint8_t> a, b;

  RandomPair(uint32_t seed, uint8_t num_classes, bool is_flat) : random_(seed) {
    for (size_t i = 0; i < 3; ++i) {
      grid.size[i] = is_flat && i == 2 ? 1 : between(1, 13);
      grid.spacing_mm[i] = 0.3 + 0.01 * static_cast<double>(between(0, 300));
    }
    a = labels(num_classes);
    b = labels(num_classes);
  }

 private:
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() % static_cast<uint32_t>(high - low + 1));
  }

  std::vector<uint8_t> labels(uint8_t num_classes) {
    std::vector<uint8_t> map(static_cast<size_t>(grid.num_voxels()), 0);
    const int64_t noise_percent = between(0, 2) == 0 ? 10 : 0;
    for (uint8_t label = 1; label <= num_classes; ++label) {
      std::array<int64_t, 3> low{}, high{};
      for (size_t i = 0; i < 3; ++i) {
        low[i] = between(-3, grid.size[i] - 1);
        high[i] = low[i] + between(0, 9);
      }
      for (int64_t z = 0, i = 0; z < grid.size[2]; ++z) {
        for (int64_t y = 0; y < grid.size[1]; ++y) {
          for (int64_t x = 0; x < grid.size[0]; ++x, ++i) {
            const bool is_in =
                x >= low[0] && x <= high[0] && y >= low[1] && y <= high[1] && z >= low[2] && z <= high[2];
            if (is_in != (between(0, 99) < noise_percent)) map[static_cast<size_t>(i)] = label;
          }
        }
      }
    }
    return map;
  }

  std::mt19937 random_;
};

}  // namespace vmae::test
