#pragma once
// `vmae export`.
#include <filesystem>

namespace vmae::run {

// Weights (of a file or a run) as .safetensors or, for
// torch.load(weights_only=True), as .pth: told by the extension of `output`.
void export_weights(const std::filesystem::path& weights, const std::filesystem::path& output, bool overwrite);

}  // namespace vmae::run
