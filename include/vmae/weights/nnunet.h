#pragma once
// The keys of nnU-Net's state dicts (dynamic-network-architectures), in which most tensors stand more than once: the
// convolution and the norm of a block also as all_modules.0 and all_modules.1, and the whole encoder, both names
// included, once more behind "decoder.". A module of ours (nn/nnunet.h) has each tensor once, by its first name.
#include <filesystem>

#include "vmae/weights/weights.h"

namespace vmae::weights {

// Each tensor once, by its first name, in the order in which they come; other keys stay as they are. Throws
// Error(checkpoint) naming file and key of a copy that is not equal to the others.
NamedTensors without_copies(const NamedTensors& tensors, const std::filesystem::path& path);

// All names of a module's state dict, in the order in which nnU-Net has them; copies share their storage.
NamedTensors with_copies(const NamedTensors& state);

}  // namespace vmae::weights
