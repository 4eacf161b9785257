#pragma once
// What an evaluation found, whatever the task: numbers with their n and intervals, and comparisons of two models.
#include <cstdint>
#include <string>
#include <vector>

#include "vmae/stats/bootstrap.h"

namespace vmae::metrics {

// One number of one model. class_name: of a class or finding, or one of "mean", "macro", "micro", "all".
struct Estimate {
  size_t model = 0;
  std::string metric, class_name;
  double value = 0;
  int64_t n = 0, num_left_out = 0;                     // cases with and without a value; for AUROC those with a label
  int64_t num_positive = -1;                           // of binary tasks; -1: not one
  std::vector<stats::Interval> intervals{};            // the first is the one to print
  std::vector<std::pair<std::string, double>> more{};  // "sd", "median", ...
  std::string remark{};
};

constexpr int64_t kFewCases = 10;  // a p-value of fewer is marked

struct Test {
  std::string method;
  int64_t n = 0;
  double statistic = 0, p = 0, p_holm = 0;  // statistic NaN: the method has none
  std::string remark{};
};

// The value of model a minus that of model b, on the cases that have both.
struct Comparison {
  size_t a = 0, b = 0;
  std::string metric, class_name;
  double difference = 0;
  int64_t n = 0;  // cases
  std::vector<stats::Interval> intervals{};
  std::vector<Test> tests{};
};

struct StatisticsOptions {
  int64_t resamples = 1000;
  uint64_t seed = 0;
  int threads = 0;
  double level = 0.95;
  std::string interval = "percentile";             // or BCa: which one is printed; both are computed
  std::vector<std::pair<size_t, size_t>> pairs{};  // models to be compared
};

// Holm's correction of every method's p-values: rows of the whole ("mean",
// "macro", "micro", "all") are one family per metric, rows of classes another.
void correct_for_number(std::vector<Comparison>& comparisons);
bool is_whole(const std::string& class_name);

// Adds to the remark of an estimate that lies outside of its interval, as
// the ECE of a well calibrated model does: resampling makes it larger.
void remark_on_bias(Estimate& estimate);

// The intervals of a statistic, the preferred one first.
std::vector<stats::Interval> intervals_of(const stats::Bootstrap& bootstrap, size_t statistic,
                                          const StatisticsOptions& options);

}  // namespace vmae::metrics
