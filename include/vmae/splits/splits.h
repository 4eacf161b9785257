#pragma once
// Who trains, who validates and who is kept for the test: divided by patient,
// stratified by label, a pure function of (cases, options). docs/data.md, "Splits".
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "vmae/core/options.h"

namespace vmae::io {

struct SplitCase {
  std::string name;                 // unique
  std::string patient;              // where patients are not known, the name
  std::vector<std::string> labels;  // the case's class, or the findings that it has; empty: none or not known
  bool is_patient_known = true;     // as SourceFile
};

struct SplitOptions {
  std::string scheme = "5fold";
  int64_t folds = 5;  // for kfold
  int64_t seed = 0;
  std::string stratify = "auto";
  std::vector<int64_t> fractions{10, 50, 80, 100};  // percent of the training part
};
void describe(Options& options, SplitOptions& split);

// Names of cases, each list sorted. No name is in two of train, val and test.
struct SplitFold {
  std::vector<std::string> train, val, test;
  // percent below 100 -> the part of `train`; a smaller one lies inside a larger one
  std::map<int64_t, std::vector<std::string>> fractions;
};

struct Splits {
  std::string scheme;  // 5fold (or another number), 72/8/20 (or other percents); "" where the file does not say
  int64_t seed = 0;
  bool is_by_patient = false;  // of some case it is known whose it is
  bool is_stratified = false;
  int64_t num_cases = 0, num_patients = 0;  // patients who are known
  std::string checksum;                     // of the names of all cases, case_checksum(); "": any cases will do
  std::vector<SplitFold> folds;
};

// The order of `cases` does not matter. Sizes are counted in patients: validation and test part are as near
// to their share as integers allow; training has the rest, and each part at least one. Stratified: of
// patients with the same labels every part has its share, rounded down or up; the same holds for the rarest
// label as a whole. Throws Error(usage) for options that contradict each other; Error(data) if there are
// too few patients, a name comes twice, or labels are asked for (stratify = label) and no case has one.
Splits make_splits(const std::vector<SplitCase>& cases, const SplitOptions& options);

// The patients (SplitCase::patient) who validate where a fraction is all that is said: `fraction` of
// them, to the nearest integer, at least one; a pure function of patients, labels and seed. Where cases
// have labels every label has its share, rounded up or down; no label is in these patients alone, and one
// of two patients or more is among them, as far as their number allows. Names of cases may come twice.
std::set<std::string> draw_validation(const std::vector<SplitCase>& cases, double fraction, uint64_t seed);

std::string case_checksum(std::vector<std::string> names);  // in any order: "crc32c:1a2b3c4d"

}  // namespace vmae::io
