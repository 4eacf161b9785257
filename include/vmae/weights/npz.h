#pragma once
// NumPy's .npz: a zip of .npy arrays (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html),
// compressed or not. Nothing in the file is executed: arrays of Python objects, which are pickles, are refused.
// Failures are Error(checkpoint), also where the zip's own checksums do not fit.
#include <filesystem>
#include <string>

#include "vmae/weights/safetensors.h"

namespace vmae::weights {

// Whether a file that begins so (its first few hundred bytes) is a zip whose first entry is a .npy.
bool is_npz(const std::string& head);

// Its arrays in the file's order, under their names without ".npy": little-endian numbers.
TensorFile read_npz(const std::filesystem::path& path);

}  // namespace vmae::weights
