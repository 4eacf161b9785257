#pragma once
#include <cstdint>
#include <span>

namespace vmae::stats {

// Area under the ROC curve (Mann and Whitney 1947): the share of (positive, negative) pairs in which the
// positive scores higher, ties counting half. labels: 0 or 1, as many as scores. NaN if one of the two
// is absent, or a score is NaN. With its variance: delong.h; of weighted cases, many times: ranking.h.
double auroc(std::span<const double> scores, std::span<const uint8_t> labels);

}  // namespace vmae::stats
