#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace vmae::eval {

// A binary task, sorted once, so that its AUROC and average precision are found for any weights of its cases in O(n), without allocation, by any thread.
class Ranking {
 public:
  // One item per score: its label (1, 0, or -1: left out) and the case whose weight it has. case_of_item empty: item i is case i.
  Ranking(std::span<const double> scores, std::span<const int8_t> labels, std::span<const uint32_t> case_of_item = {});

  struct Values {
    double auroc;              // ties count half; NaN where a class is absent
    double average_precision;  // sum of (R_k - R_{k-1}) P_k over the distinct scores (scikit-learn's); NaN without positives
  };
  Values values(std::span<const uint32_t> weights) const;

  // Distinct scores from high to low, with what lies at or above each.
  struct Step {
    double score;
    double true_positives, false_positives;
  };
  std::vector<Step> steps(std::span<const uint32_t> weights) const;

  int64_t num_positive() const { return num_positive_; }
  int64_t num_negative() const { return static_cast<int64_t>(items_.size()) - num_positive_; }

 private:
  struct Item {
    uint32_t which;  // case
    uint8_t is_positive, ends_tie;
  };
  std::vector<Item> items_;  // scores from high to low
  std::vector<double> scores_;
  int64_t num_positive_ = 0;
};

}  // namespace vmae::eval
