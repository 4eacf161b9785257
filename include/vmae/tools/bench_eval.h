#pragma once
// `vmae bench --eval`.
#include <cstdint>
#include <iosfwd>
#include <string>

namespace vmae::run {

struct EvalBenchArguments {
  // auroc: the bootstrap of one; findings: of several and their mean;
  // delong: the paired test; hd95: of a volume of 512 x 512 x 300
  std::string what;
  int64_t cases = 100000, findings = 14, resamples = 1000, threads = 0;  // delong and hd95: one thread
};
// Times one calculation of `vmae eval`, once, on made-up cases; one line of JSON: seconds,
// value (delong: z), low, high (95 % percentile or DeLong interval), peak_rss_mb.
void bench_eval(const EvalBenchArguments& arguments, std::ostream& out);

}  // namespace vmae::run
