#pragma once
// `vmae forward`: one pass over tensors, to compare with other programs.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace vmae::run {

struct ForwardArguments {
  std::string model = "mae";  // mae, simclr, swin-unet, unet, transunet, swin-classifier
  std::filesystem::path weights, input, output;
  int64_t seed = 0;                          // of the noise, if the input has none
  std::vector<std::string> model_overrides;  // key=value of the model's options, without "model."
};
// One evaluation-mode forward pass in fp32 over `image` (B, C, H, W). mae: with `noise` (B,
// units); writes pred, loss (1), mask (B, tokens; 1 = hidden) and noise. The others write
// logits. Keys of other programs' Swin files are renamed, and their conventions followed.
void forward(const ForwardArguments& arguments);

}  // namespace vmae::run
