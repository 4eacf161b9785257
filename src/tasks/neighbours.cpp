#include "vmae/tasks/neighbours.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/topk.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "vmae/stats/auroc.h"

namespace vmae::run {

namespace {

constexpr int64_t kNumNeighbours = 20;
constexpr double kNeighbourTemperature = 0.07;

at::Tensor unit_rows(const at::Tensor& features) {
  return features / features.norm(2, /*dim=*/1, /*keepdim=*/true).clamp_min(1e-12);
}

// (n): the weighted mean label of the nearest. similarity (n, m) to those of the bank whose label is known.
at::Tensor scores_of(const at::Tensor& similarity, const at::Tensor& labels) {
  const auto [nearest, places] = at::topk(similarity, std::min(kNumNeighbours, similarity.size(1)), /*dim=*/1);
  const at::Tensor weight = ((nearest.to(at::kDouble) - 1.0) / kNeighbourTemperature).exp();
  return (weight * labels.index({places})).sum(1) / weight.sum(1);
}

double auroc_of_label(const at::Tensor& similarity, const at::Tensor& labels, const at::Tensor& bank_labels) {
  const at::Tensor rows = (~labels.isnan()).nonzero().squeeze(1), columns = (~bank_labels.isnan()).nonzero().squeeze(1);
  if (rows.numel() == 0 || columns.numel() == 0) return std::nan("");
  const at::Tensor scores = scores_of(similarity.index_select(0, rows).index_select(1, columns),
                                      bank_labels.index_select(0, columns).to(at::kDouble))
                                .contiguous();
  const at::Tensor truth = (labels.index_select(0, rows) > 0.5).to(at::kByte);
  const auto n = static_cast<size_t>(scores.numel());
  return stats::auroc({scores.const_data_ptr<double>(), n}, {truth.const_data_ptr<uint8_t>(), n});
}

bool exclude_each_other(const at::Tensor& labels) {
  return labels.size(1) == 2 && ((labels.sum(1) == 1) | labels.isnan().any(1)).all().item<bool>();
}

}  // namespace

double neighbour_auroc(const LabelledFeatures& images, const LabelledFeatures& bank) {
  for (const at::Tensor& features : {images.features, bank.features}) {
    if (features.numel() == 0 || !at::isfinite(features).all().item<bool>()) return std::nan("");
  }
  const at::Tensor similarity = at::matmul(unit_rows(images.features), unit_rows(bank.features).t());
  const bool is_binary = exclude_each_other(images.labels) && exclude_each_other(bank.labels);
  double sum = 0;
  int64_t measured = 0;
  for (int64_t label = is_binary ? 1 : 0; label < images.labels.size(1); ++label) {
    const double area = auroc_of_label(similarity, images.labels.select(1, label), bank.labels.select(1, label));
    if (std::isnan(area)) continue;
    sum += area;
    ++measured;
  }
  return measured > 0 ? sum / static_cast<double>(measured) : std::nan("");
}

}  // namespace vmae::run
