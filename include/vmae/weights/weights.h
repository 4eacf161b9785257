#pragma once
// Weights in and out of modules, by key and shape.
#include <torch/nn/module.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "vmae/weights/safetensors.h"

namespace vmae::weights {

// safetensors (ours or anyone's), .pth or .npz, told apart by content, not by name.
// Of our checkpoints the entries "optimizer.*" and "state.*" are left out.
TensorFile read_weights(const std::filesystem::path& path);

// Likewise without the numbers: tensors are on the meta device. What unwrap() removed is said where they are loaded.
TensorFile read_shapes(const std::filesystem::path& path);

// The module's state dict in Python's order: for each module its own parameters, then its buffers, then its children.
NamedTensors state_dict(const torch::nn::Module& module);

struct LoadReport {
  // in both; only in the module (keeps its initial value); only in the file
  std::vector<std::string> loaded, fresh, dropped;
  // in both with different shapes: "key: file (1, 3136, 96), model (1, 240, 96)"
  std::vector<std::string> mismatched;
};

// Copies what matches by key and shape, converting the dtype. Derived entries
// (pos_embed, relative_position_index, attn_mask: functions of the geometry, never
// trained) are not copied: one that is in both counts as loaded whatever its shape.
LoadReport load_into(torch::nn::Module& module, const TensorFile& file);

// Throws Error(checkpoint) listing the first few if `fresh`,
// `dropped` or `mismatched` holds anything but derived entries.
void require_complete(const LoadReport& report, const std::filesystem::path& file);

// Throws Error(checkpoint) naming the first key that holds NaN or infinity:
// a training that went wrong, whose predictions would be all background.
void require_finite(const TensorFile& file, const std::filesystem::path& path);

}  // namespace vmae::weights
