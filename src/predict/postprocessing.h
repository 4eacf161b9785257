#pragma once
// What is done to the label maps of a prediction before they are written: nnU-Net's postprocessing, as a file says it.
#include <filesystem>
#include <string>
#include <vector>

#include "vmae/nnunet/postprocess.h"
#include "vmae/predict/model_file.h"

namespace vmae::run {

struct ChosenPostprocessing {
  std::filesystem::path file;           // empty: none
  nnunet::Postprocessing of_values{};   // of the numbers that are written
  nnunet::Postprocessing of_classes{};  // the same of classes 1, 2, ... of the model
};

// option: as PredictOptions::postprocessing; weights: as they were given. Throws Error(data): the file has no meaning;
// Error(usage): the model writes none of a step's numbers.
ChosenPostprocessing choose_postprocessing(const std::string& option, const std::vector<std::filesystem::path>& weights,
                                           const ModelCard& card);

// "the largest component of liver, tumour; then of tumour", or "none": for the log.
std::string text_of(const ChosenPostprocessing& chosen, const ModelCard& card);

}  // namespace vmae::run
