#pragma once
// `vmae eval` and `vmae compare`: predictions against truth; tables,
// intervals, tests, figures and a report. docs/eval.md has the files.
#include <filesystem>
#include <string>
#include <vector>

#include "vmae/core/error.h"
#include "vmae/metrics/classification_study.h"
#include "vmae/metrics/overlap.h"

namespace vmae::run {

struct EvalArguments {
  // Models: folders or CSVs of predictions, and runs, in the order of tables.
  std::vector<std::filesystem::path> predictions, runs;
  std::vector<std::string> names;  // of the models; empty: from their paths
  std::filesystem::path truth;     // label maps, labels, or a source that has them; empty: that of the runs
  std::filesystem::path output;    // empty: of one run, its folder eval
  std::filesystem::path images;    // of the cases, for pictures of label maps that come without
  std::filesystem::path patients;  // CSV with columns case and patient
  // Of predictions of a prepared dataset, where the truth has the source's names:
  // what `vmae prepare` wrote, or prepare.salt_file (empty: the user's own).
  std::filesystem::path names_table;
  std::string salt_file;
  std::string part = "auto";  // of runs: out_of_fold, test, external_test
  std::vector<std::string> classes;
  std::string positive;  // class of a binary task
  // columns of the truth that are the labels, as io::find_source(); empty: as the runs say
  std::vector<std::string> findings;
  int64_t ignore_label = -1;
  std::vector<int64_t> label_values;  // of the classes in the files; empty: 1, 2, ...
  bool per_slice = false, skip_bad_cases = false, overwrite = false;
  // percent of labels that each model was trained with; empty: not known, or from the runs
  std::vector<int64_t> fractions;
  // model that the others are compared with; "all": all pairs; empty: the first (of its fraction)
  std::string reference;
  metrics::SegmentationOptions segmentation;
  metrics::ThresholdOptions threshold;
  metrics::StatisticsOptions statistics;
  std::string command_line;
};

// ok, or some_failed: cases were left out, by name (skip_bad_cases). Throws Error: nothing to compare,
// cases on one side only, grids that differ, labels that are not declared, a CSV's line that is wrong.
ExitCode evaluate(const EvalArguments& arguments);

}  // namespace vmae::run
