#pragma once
// A model together with the options that built it, from and to weight files.
#include <filesystem>
#include <functional>
#include <string>

#include "vmae/nn/mae.h"
#include "vmae/weights/safetensors.h"

namespace vmae::run {

std::string model_options_json(const nn::MaeOptions& options);  // metadata "model_options"

// The options of the model that a file's weights belong to: from its metadata, or, for files of other programs, from the shapes of its tensors
// (image size, mask ratio, norm-pix loss, shift and epsilon can't be seen there and keep their values in `defaults`).
// Throws Error(checkpoint) if these are not the weights of a Swin masked autoencoder.
nn::MaeOptions model_options_of(const weights::TensorFile& file, const std::filesystem::path& path, const nn::MaeOptions& defaults = {});

// A weights file, or the best (else last) checkpoint of a run folder. Throws Error(checkpoint) naming what was looked for.
std::filesystem::path find_weights(const std::filesystem::path& path);

}  // namespace vmae::run
