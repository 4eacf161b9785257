#pragma once
// The zip of a .pth file, for those who write more than a dict of weights.
#include <ATen/core/Dict.h>
#include <ATen/core/ivalue.h>

#include <filesystem>

#include "vmae/weights/safetensors.h"

namespace vmae::weights {

// A contiguous tensor on the CPU that fills its storage. Tensors that share one storage wholly still do afterwards.
at::Tensor compact(const at::Tensor& tensor);

// All of them compact. Throws Error(checkpoint) for a tensor that Python's storages cannot hold, and two of one name.
c10::Dict<std::string, at::Tensor> dict_of_tensors(const std::filesystem::path& path, const NamedTensors& tensors);

// A file whose torch.load() is `root`: None, bool, int, float, str, tensors, lists of IValues (c10::impl::GenericList
// of Any) and dicts. Not guarded() yet.
void write_pth_archive(const std::filesystem::path& path, const at::IValue& root, const Metadata& metadata);

}  // namespace vmae::weights
