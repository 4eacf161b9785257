#pragma once
// The commands that work on weights and tensors: forward, export, inspect, doctor, docs.
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

namespace vmae::run {

struct ForwardArguments {
  std::string model = "mae";
  std::filesystem::path weights, input, output;
  int64_t seed = 0;                          // of the noise, if the input has none
  std::vector<std::string> model_overrides;  // key=value of the model's options, without "model."
};
// One evaluation-mode forward pass in fp32 over `image` (B, C, H, W) with `noise` (B, units); writes pred, loss (1) and mask (B, tokens; 1 = hidden), and noise
// if it was drawn.
void forward(const ForwardArguments& arguments);

// Weights (of a file or a run) as .safetensors or, for torch.load(weights_only=True), as .pth: told by the extension of `output`.
void export_weights(const std::filesystem::path& weights, const std::filesystem::path& output);

// What is in a checkpoint, weights file or run folder: model, run, parameters, keys and shapes.
void inspect(const std::filesystem::path& path, bool as_json, bool all_keys, std::ostream& out);

// Versions, devices, threads, memory, instruction sets, and what is wrong. Returns false if something is.
bool doctor(std::ostream& out);

// docs/configuration.md and configs/default.yaml, from the declarations of the options.
std::string configuration_page();
std::string default_config();

}  // namespace vmae::run
