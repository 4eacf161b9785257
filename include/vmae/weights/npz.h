#pragma once
// NumPy's .npz: a zip of .npy arrays (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html),
// compressed or not. Nothing in the file is executed: arrays of Python objects, which are pickles, are refused.
// Failures are Error(checkpoint), also where the zip's own checksums do not fit.
#include <filesystem>

#include "vmae/weights/safetensors.h"

namespace vmae::weights {

// Its arrays in the file's order, under their names without ".npy": little-endian numbers.
TensorFile read_npz(const std::filesystem::path& path);

}  // namespace vmae::weights
