#pragma once
// NumPy's .npy format, version 1.0 (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
#include <filesystem>

#include "vmae/image/image.h"

namespace vmae::io {

// Stored numbers (not scaled) with shape (z, y, x), or (z, y, x, channels) for colour.
void write_npy(const std::filesystem::path& file, const Volume& volume);

}  // namespace vmae::io
