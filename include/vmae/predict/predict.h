#pragma once
// `vmae predict`: fine-tuned models on images of any kind, results in
// the format that the images came in. docs/predict.md has the files.
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"
#include "vmae/core/error.h"
#include "vmae/runs/names.h"

namespace vmae::run {

struct PredictOptions {
  std::string device = "auto", precision = "auto";
  int64_t threads = 0, batch = 16;
  std::optional<bool> mirror{};  // not said: as its authors, an nnU-Net does, others do not
  // Segmentation.
  std::string tiles = "auto";
  double overlap = 0.5;
  bool largest_component = false, probabilities = false, overlays = false;
  // auto: what a run of folds found (its postprocessing.json), where all of it predicts; none; or such a file
  std::string postprocessing = "auto";
  bool begins_anew = false;  // although the folder holds a prediction that was begun and could be gone on with
  // Classification: mean, max, or "": as the model was validated.
  std::string pool{};
  // What cases are called, by their names in the source; empty: io::case_names().
  std::map<std::string, std::string> names{};
  std::vector<std::string> channel_names{};  // as io::Source; empty: not known
};

struct PredictArguments {
  // files or runs; a run with fold_0, fold_1, ... is all of them. Several are averaged
  std::vector<std::filesystem::path> weights;
  std::filesystem::path input, output;
  std::string layout = "auto";
  bool overwrite = false;
  NameArguments names;  // of a prepared dataset: predictions are called as those of the files that it was made of
  PredictOptions options;
};

// ok, or some_failed: cases that can't be read are named at the end. In an output folder that holds a prediction which
// did not come to its end, cases that are done are left alone; Error(usage) where it was begun with other weights,
// options or input. A folder that holds anything else is refused without `overwrite`, with which files of the same name
// are replaced. Throws Error: weights that don't fit together or are no fine-tuned model, an input without images.
ExitCode predict(const PredictArguments& arguments);

// The same for cases that are known. `identifying`: texts that must not become part of
// a name. `beside`: files that get names together with the cases, so that those of
// several calls are unique. `refused`: what the source could not use; named as failed.
ExitCode predict_cases(const std::vector<io::SourceFile>& cases, const std::vector<std::filesystem::path>& weights,
                       const std::filesystem::path& output, const PredictOptions& options,
                       const std::vector<std::string>& identifying = {}, const std::vector<io::SourceFile>& beside = {},
                       const std::vector<io::SourceRemark>& refused = {});

}  // namespace vmae::run
