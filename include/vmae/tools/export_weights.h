#pragma once
// `vmae export`.
#include <filesystem>

namespace vmae::run {

// Weights (of a file or a run) as .safetensors or, for
// torch.load(weights_only=True), as .pth: told by the extension of `output`.
void export_weights(const std::filesystem::path& weights, const std::filesystem::path& output, bool overwrite);

// An nnU-Net, or all folds of one, as the folder that nnU-Net itself predicts with: plans.json, dataset.json and
// fold_N/checkpoint_final.pth. Throws Error(checkpoint): weights of another network.
void export_nnunet(const std::filesystem::path& weights, const std::filesystem::path& output, bool overwrite);

}  // namespace vmae::run
