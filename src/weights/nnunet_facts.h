#pragma once
// What a .pth file of nnU-Net v2 holds besides weights (pth_reader.cpp reads both).
#include <filesystem>

#include "vmae/weights/stored.h"
#include "vmae/weights/unpickle.h"

namespace vmae::weights {

constexpr const char* kNnUnetWeights = "network_weights";

// Of nnU-Net's checkpoint, what read_nnunet_checkpoint() says; of any other, nothing.
void add_nnunet_facts(const Value& root, const std::filesystem::path& path, Metadata& metadata);

// Whether these are the facts of one.
bool is_nnunet(const Metadata& metadata);

}  // namespace vmae::weights
