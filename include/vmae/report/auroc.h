#pragma once
#include <cstdint>
#include <span>

namespace vmae {

// Area under the ROC curve by midranks (Mann and Whitney 1947): the share of (positive, negative) pairs in which the positive scores higher, ties counting
// half. labels: 0 or 1, as many as scores. NaN if one of the two is absent.
double auroc(std::span<const double> scores, std::span<const uint8_t> labels);

}  // namespace vmae
