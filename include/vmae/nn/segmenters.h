#pragma once
// The networks for segmentation by their names.
#include <torch/nn/module.h>

#include <memory>
#include <string>

#include "vmae/nn/model_options.h"
#include "vmae/nn/segmenter.h"

namespace vmae::nn {

struct SegmenterModule {
  std::shared_ptr<torch::nn::Module> module;
  Segmenter* net = nullptr;  // the same object
};

// The network of a name in segmenter_kinds(), freshly initialised from torch's default generator.
SegmenterModule make_segmenter(const std::string& name, const UnetOptions& options);

}  // namespace vmae::nn
