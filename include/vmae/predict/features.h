#pragma once
// `vmae features`: what the encoder makes of images, a vector
// of each image or case, for other programs. docs/predict.md
#include <cstdint>
#include <filesystem>
#include <string>

#include "vmae/core/error.h"

namespace vmae::run {

struct FeaturesArguments {
  std::filesystem::path weights, input, output;  // output: .csv or .safetensors
  std::string per = "case";                      // case: the mean over its images; image: each slice
  std::string layout = "auto", device = "auto", precision = "auto";
  int64_t batch = 16, threads = 0;
  bool overwrite = false;
};

// ok, or some_failed: cases that can't be read are named at the end and have no vector. Throws Error.
ExitCode features(const FeaturesArguments& arguments);

}  // namespace vmae::run
