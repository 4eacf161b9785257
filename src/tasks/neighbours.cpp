#include "vmae/tasks/neighbours.h"

#include <ATen/ops/matmul.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "vmae/stats/auroc.h"

namespace vmae::run {

namespace {

constexpr int64_t kNumNeighbours = 20;
constexpr double kNeighbourTemperature = 0.07;

// The nearest images of other groups that are in `known`, nearest first; row: similarities to all.
std::vector<int64_t> nearest(const float* row, int64_t image, const NeighbourImages& images,
                             const std::vector<int64_t>& known) {
  std::vector<int64_t> others;
  std::copy_if(known.begin(), known.end(), std::back_inserter(others), [&](int64_t other) {
    return images.groups[static_cast<size_t>(other)] != images.groups[static_cast<size_t>(image)];
  });
  const auto count = std::min<int64_t>(kNumNeighbours, std::ssize(others));
  std::partial_sort(others.begin(), others.begin() + count, others.end(),
                    [&](int64_t a, int64_t b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
  others.resize(static_cast<size_t>(count));
  return others;
}

double auroc_of_label(const at::Tensor& similarity, const NeighbourImages& images, size_t label) {
  std::vector<int64_t> known;
  for (int64_t i = 0; i < similarity.size(0); ++i) {
    if (!std::isnan(images.labels[static_cast<size_t>(i)][label])) known.push_back(i);
  }
  std::vector<double> scores;
  std::vector<uint8_t> truth;
  for (const int64_t image : known) {
    const float* row = similarity.const_data_ptr<float>() + image * similarity.size(1);
    double sum = 0, weights = 0;
    for (const int64_t other : nearest(row, image, images, known)) {
      const double weight = std::exp((row[other] - 1.0) / kNeighbourTemperature);
      sum += weight * images.labels[static_cast<size_t>(other)][label];
      weights += weight;
    }
    if (weights == 0) continue;  // of one group with all others
    scores.push_back(sum / weights);
    truth.push_back(images.labels[static_cast<size_t>(image)][label] > 0.5F ? 1 : 0);
  }
  return stats::auroc(scores, truth);
}

}  // namespace

double neighbour_auroc(const NeighbourImages& images) {
  const at::Tensor unit = images.features / images.features.norm(2, /*dim=*/1, /*keepdim=*/true).clamp_min(1e-12);
  const at::Tensor similarity = at::matmul(unit, unit.t()).contiguous();
  const size_t num_labels = images.labels.empty() ? 0 : images.labels.front().size();
  const bool is_binary =
      num_labels == 2 && std::all_of(images.labels.begin(), images.labels.end(),
                                     [](const auto& row) { return std::isnan(row[0]) || row[0] + row[1] == 1.0F; });
  double sum = 0;
  int64_t measured = 0;
  for (size_t label = is_binary ? 1 : 0; label < num_labels; ++label) {
    const double area = auroc_of_label(similarity, images, label);
    if (std::isnan(area)) continue;
    sum += area;
    ++measured;
  }
  return measured > 0 ? sum / static_cast<double>(measured) : std::nan("");
}

}  // namespace vmae::run
