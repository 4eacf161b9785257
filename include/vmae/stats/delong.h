#pragma once
// Area under the ROC curve with DeLong's variance, in O(n log n) by midranks
// (DeLong, DeLong and Clarke-Pearson 1988; Sun and Xu 2014, IEEE SPL 21(11)).
#include <cstdint>
#include <span>
#include <string>

#include "vmae/stats/bootstrap.h"

namespace vmae::stats {

// scores: any scale, ties allowed, finite; labels: 0 or 1, as many. Throws Error(data) if the numbers
// differ, a score is not finite or a label is another. A class that is absent: auc and variance are
// NaN. A class of one case: variance NaN. Perfect separation: variance 0. The remark says so.
struct Auroc {
  double auc = 0, variance = 0;
  int64_t num_positive = 0, num_negative = 0;
  std::string remark{};
};
Auroc delong(std::span<const double> scores, std::span<const uint8_t> labels);
Interval delong_interval(const Auroc& auroc, double level = 0.95);  // auc +- z sd, within [0, 1], as pROC's ci.auc

// Two models on the same cases: difference = a - b with the paired variance; z and the two-sided
// p-value. Cases ranked alike: z = 0, p = 1 and a remark; another difference without variance: z
// infinite, p = 0 and a remark. A class that is absent or of one case: z and p are NaN, with a remark.
struct AurocComparison {
  double auc_a = 0, auc_b = 0, difference = 0, variance = 0, z = 0, p = 0;
  Interval interval{};  // of the difference
  std::string remark{};
};
AurocComparison delong_test(std::span<const double> scores_a, std::span<const double> scores_b,
                            std::span<const uint8_t> labels, double level = 0.95);

}  // namespace vmae::stats
