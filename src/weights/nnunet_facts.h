#pragma once
// What a .pth file of nnU-Net v2 holds besides weights (pth.cpp reads both).
#include <filesystem>

#include "vmae/weights/safetensors.h"
#include "vmae/weights/unpickle.h"

namespace vmae::weights {

constexpr const char* kNnUnetWeights = "network_weights";

// Of nnU-Net's checkpoint, what read_nnunet_checkpoint() says; of any other, nothing.
void add_nnunet_facts(const Value& root, const std::filesystem::path& path, Metadata& metadata);

// Of an nnU-Net: names without what wrappers put before them, each tensor once.
void keep_tensors_once(TensorFile& file, const std::filesystem::path& path);

}  // namespace vmae::weights
