#pragma once
// Where the probabilities of a case's slices go as they come, and what is written when all are there.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "journal.h"
#include "vmae/cases/source_file.h"
#include "vmae/data/case.h"
#include "vmae/nnunet/postprocess.h"
#include "vmae/nnunet/way_back.h"
#include "vmae/predict/model_file.h"
#include "vmae/predict/pool.h"
#include "vmae/predict/predict.h"
#include "vmae/train/transfer.h"

namespace vmae::run {

// All that it is given must outlive it.
class CaseResult {
 public:
  CaseResult(const io::SourceFile& file, const data::Case& one, std::string name, const ModelCard& card,
             const PredictOptions& options, const nnunet::Postprocessing& postprocessing);

  // Segmentation: (n, classes, h, w) of slices first, first + 1, ...; classification: (n, classes). On the device; does
  // not wait for it, but for what was added before.
  void add(int64_t first, const at::Tensor& p);

  // Segmentation at once: the class of each voxel, and of each class (region) its probabilities, where they are asked
  // for; all in the order of the case's volume. Worked out when the case is written.
  void set(std::function<nnunet::Prediction()> prediction) { whole_ = std::move(prediction); }

  // Segmentation: files in the output folder; classification: rows of its tables. Once, on any thread.
  PredictedCase write(const std::filesystem::path& output);

 private:
  // Of slices first, first + 1, ...: the class of each pixel (n, h, w), and by class its probabilities, where they are
  // asked for; or scores (n, classes).
  struct Slices {
    int64_t first;
    std::optional<train::ComingTensor> labels{}, scores{};
    std::vector<train::ComingTensor> probabilities{};
  };
  void take(const Slices& slices);
  void take_scores(int64_t first, const at::Tensor& scores);
  PredictedCase rows() const;
  PredictedCase write_files(const std::filesystem::path& output);

  const io::SourceFile& file_;
  const data::Case& case_;
  std::string name_;
  const ModelCard& card_;
  const PredictOptions& options_;
  const nnunet::Postprocessing& postprocessing_;  // of classes 1, 2, ...
  size_t voxels_;
  std::optional<Slices> coming_;
  std::function<nnunet::Prediction()> whole_;
  std::vector<uint8_t> labels_;                    // by voxel; empty: classification
  std::vector<std::vector<float>> probabilities_;  // by class (region) and voxel, where they are asked for
  CasePool pool_;
  std::string slices_rows_;
};

}  // namespace vmae::run
