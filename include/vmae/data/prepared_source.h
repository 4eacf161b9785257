#pragma once
// Samples of a prepared dataset.
#include <memory>
#include <string>
#include <vector>

#include "vmae/data/sample_source.h"
#include "vmae/prepared/prepared.h"

namespace vmae::data {

// A case of a prepared dataset. modality: what it is if the dataset does not say it.
struct PreparedChoice {
  int64_t number;
  std::string modality{};
  std::vector<float> labels{};             // empty: those of the dataset
  std::vector<PreparedChoice> channels{};  // further channels of its samples
};

// Memory: a few bytes per case and none per item. Cases in any order, each once; data.slice_axis has no
// meaning here, and data.intensity may be other than auto only where the dataset holds native numbers. Throws
// Error(data) if the dataset lacks a target that the task needs, Error(usage) if an option does not fit.
std::unique_ptr<SampleSource> prepared_source(std::shared_ptr<const io::PreparedDataset> dataset,
                                              const std::vector<PreparedChoice>& cases, const ImageOptions& image,
                                              const Targets& targets);

}  // namespace vmae::data
