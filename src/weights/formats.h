#pragma once
// The formats that read_stored() knows.
#include <filesystem>

#include "vmae/weights/stored.h"

namespace vmae::weights {

enum class Format { safetensors, pth, npz };

// By its first bytes. Throws Error(checkpoint) where it is none of them.
Format format_of(const std::filesystem::path& path);

}  // namespace vmae::weights
