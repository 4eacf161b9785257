#pragma once
// Random samples and plain counterparts for the tests of statistics.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include "support/source_path.h"
#include "vmae/core/random.h"
#include "vmae/stats/ranking.h"

namespace vmae::test {

inline double normal(Random& random) {
  return std::sqrt(-2 * std::log(1 - random.uniform())) * std::cos(2 * std::numbers::pi * random.uniform());
}

struct Scored {
  std::vector<double> scores;
  std::vector<uint8_t> labels;
};

// At least one case of each class (if n > 1). steps > 0: scores are one of so many values, and often tie.
inline Scored scored(Random& random, size_t n, double share, double effect, uint64_t steps = 0) {
  Scored sample;
  for (size_t i = 0; i < n; ++i) {
    sample.labels.push_back(i < 2 ? static_cast<uint8_t>(i) : random.chance(share));
    const double score = normal(random) + effect * sample.labels.back();
    sample.scores.push_back(steps == 0 ? score : std::round(score * static_cast<double>(steps) / 6));
  }
  return sample;
}

inline stats::Ranking ranking_of(const std::vector<double>& scores, const std::vector<uint8_t>& labels) {
  return {scores, std::vector<int8_t>(labels.begin(), labels.end())};
}

// The definition: over all pairs of a positive and a negative.
inline double auroc_by_pairs(const Scored& sample, const std::vector<uint32_t>& weights) {
  double wins = 0, pairs = 0;
  for (size_t i = 0; i < sample.scores.size(); ++i) {
    for (size_t j = 0; j < sample.scores.size(); ++j) {
      if (sample.labels[i] == 0 || sample.labels[j] == 1) continue;
      const double pair = static_cast<double>(weights[i]) * weights[j];
      wins += pair * (sample.scores[i] > sample.scores[j] ? 1 : sample.scores[i] == sample.scores[j] ? 0.5 : 0);
      pairs += pair;
    }
  }
  return wins / pairs;
}

inline double weighted_mean(std::span<const double> values, std::span<const uint32_t> weights) {
  double sum = 0, n = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum += weights[i] * values[i];
    n += weights[i];
  }
  return sum / n;
}

inline nlohmann::json golden(const std::string& name) {
  return nlohmann::json::parse(std::ifstream(source_path("tests/golden/" + name)));
}

}  // namespace vmae::test
