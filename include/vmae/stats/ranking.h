#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace vmae::stats {

// A binary task, sorted once, so that its AUROC and average precision are found for any
// weights of its cases (as in resamples) in O(n), without allocation, by any thread. Pairs
// are counted in integers, so the AUROC is that of auroc() on the cases written out.
class Ranking {
 public:
  // One item per score (finite): its label (1, 0, or -1: left out) and the case
  // whose weight it has. case_of_item empty: item i is case i. Throws Error(data).
  Ranking(std::span<const double> scores, std::span<const int8_t> labels, std::span<const uint32_t> case_of_item = {});

  // weights: one per case; those of all items together are below 2^32.
  double auroc(std::span<const uint32_t> weights) const;  // ties count half; NaN where a class has no weight
  double average_precision(
      // sum of (R_k - R_{k-1}) P_k over the distinct scores (scikit-learn's); NaN without positives
      std::span<const uint32_t> weights) const;
  struct Values {
    double auroc, average_precision;
  };
  Values values(std::span<const uint32_t> weights) const;  // both in one pass

  // Distinct scores from high to low, with what lies at or above each.
  struct Step {
    double score;
    double true_positives, false_positives;
  };
  std::vector<Step> steps(std::span<const uint32_t> weights) const;

  int64_t num_positive() const { return num_positive_; }
  int64_t num_negative() const { return static_cast<int64_t>(items_.size()) - num_positive_; }

 private:
  template <bool has_auroc, bool has_average_precision>
  Values sweep(std::span<const uint32_t> weights) const;
  void require(std::span<const uint32_t> weights) const;

  // a case and three bits each, scores from high to low, of equal scores the positives first
  std::vector<uint32_t> items_;
  std::vector<double> group_scores_;  // the distinct scores, in that order
  size_t num_cases_ = 0;
  int64_t num_positive_ = 0;
};

}  // namespace vmae::stats
