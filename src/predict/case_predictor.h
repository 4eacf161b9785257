#pragma once
// From a case to what a network says of it: the part of `vmae predict` that differs between networks.
#include <memory>
#include <vector>

#include "case_result.h"
#include "input.h"
#include "vmae/predict/model_file.h"
#include "vmae/predict/predict.h"
#include "vmae/train/precision.h"

namespace vmae::run {

class CasePredictor {
 public:
  virtual ~CasePredictor() = default;
  virtual const LoadedModel& model() const = 0;

  // Any thread, also while another case is predicted. Throws nothing.
  virtual LoadedCase load(const io::SourceFile& file) const = 0;
  // Whether `one` may go through the network together with `others`, of which there is at least one.
  virtual bool go_together(const std::vector<LoadedCase>& others, const LoadedCase& one) const = 0;
  // Fills results[i] with what is said of cases[i], which must outlive it. Throws Error.
  virtual void predict(const std::vector<LoadedCase>& cases, std::vector<CaseResult>& results) = 0;
  virtual void warn_of_input() const {}  // when all are predicted: did they look as in training?
};

// Of the models' kind. options must outlive it. Throws Error(checkpoint) where models differ.
std::unique_ptr<CasePredictor> make_case_predictor(std::vector<LoadedModel> models, const PredictOptions& options,
                                                   at::Device device, train::Precision precision);

}  // namespace vmae::run
