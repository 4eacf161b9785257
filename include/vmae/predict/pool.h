#pragma once
// Scores of slices become the score of their case.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace vmae::run {

// Probabilities of one case, slice after slice.
class CasePool {
 public:
  void add(const std::vector<double>& slice, const std::string& how);  // how: mean, max
  // By the mean, or of each class the largest; where classes exclude each other they are scaled to sum 1 again.
  std::vector<double> result(bool is_multi_label) const;
  int64_t num_slices() const { return num_slices_; }

 private:
  std::vector<double> values_;
  bool is_mean_ = true;
  int64_t num_slices_ = 0;
};

}  // namespace vmae::run
