#pragma once
// Weights of TransUNet (nn/transunet.h): the authors' and ours, whose names are the same, and those of R50-ViT-B/16
// that Google published for Flax, which begin its encoder. All failures are Error(checkpoint) naming file and array.
#include <cstdint>
#include <filesystem>
#include <vector>

#include "vmae/weights/weights.h"

namespace vmae::weights {

// Whose names the tensors have.
bool is_transunet(const TensorFile& file);
bool is_flax_vit(const TensorFile& file);

// Of a file of Flax, whose query kernels are (C, heads, channels of a head).
int64_t heads_of_flax_vit(const TensorFile& file, const std::filesystem::path& path);

// Of a file of Flax: names become TransUNet's, convolutions HWIO -> OIHW, dense layers transposed and their heads
// joined, norms flattened; class token and classifier are left out. An array that it does not know is an error.
void rename_flax_vit(TensorFile& file, const std::filesystem::path& path);

// The learned positions from the grid of one image size to that of another ([H, W] in pixels), linearly, first and
// last tokens on each other (as scipy.ndimage.zoom of order 1). from: empty for a square. True if something changed.
bool fit_positions(TensorFile& file, const std::vector<int64_t>& from, const std::vector<int64_t>& to,
                   const std::filesystem::path& path);

// load_into() with rules: a decoder, or the last layer alone where it has another number of classes, may begin at
// random; with encoder_alone the file's decoder is left out. Everything else that is missing, left over or of another
// shape is an error naming the first few, unless allow_mismatch; always if nothing of the encoder fits.
LoadReport transfer_transunet(torch::nn::Module& module, TensorFile file, bool encoder_alone, bool allow_mismatch,
                              const std::filesystem::path& path);

}  // namespace vmae::weights
