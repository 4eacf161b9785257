#include "vmae/predict/pool.h"

#include <algorithm>

namespace vmae::run {

void CasePool::add(const std::vector<double>& slice, const std::string& how) {
  is_mean_ = how == "mean";
  if (num_slices_++ == 0) {
    values_ = slice;
    return;
  }
  for (size_t i = 0; i < slice.size(); ++i)
    values_[i] = is_mean_ ? values_[i] + slice[i] : std::max(values_[i], slice[i]);
}

std::vector<double> CasePool::result(bool is_multi_label) const {
  std::vector<double> result = values_;
  double sum = 0;
  for (double& value : result) {
    if (is_mean_) value /= static_cast<double>(num_slices_);
    sum += value;
  }
  if (!is_multi_label && !is_mean_ && sum > 0) {
    for (double& value : result) value /= sum;
  }
  return result;
}

}  // namespace vmae::run
