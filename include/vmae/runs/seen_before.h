#pragma once
// Whether those who validate or are tested were trained on before: in the runs that the initial weights come from.
#include <filesystem>
#include <optional>
#include <string>

#include "vmae/runs/split.h"

namespace vmae::run {

// How many files of a part were trained on in an earlier run, or files of the same patient.
struct SeenPart {
  std::string part;  // "validation", "test"
  size_t num_files = 0, num_seen = 0;
};

// What is to be said about the weights that a run begins with.
struct SeenBefore {
  bool is_known = false;
  std::vector<SeenPart> parts;  // those of which some were seen
  std::string text;             // a sentence, without a stop at its end; empty: there are no such parts
};

// init: model.init, a run folder or a file in one. The files of that run are found again by what its folder
// says (config.yaml, sources.json, splits.json), and of the run that it began from itself, and so on;
// nothing about patients is stored for it. Not known where one of them is no run folder, its sources are
// gone, or patients are called differently there (another salt). external_test: the files of data.test.
SeenBefore seen_before(const std::string& init, const SourceSplits& splits,
                       const std::vector<io::SourceFile>& external_test);

}  // namespace vmae::run
