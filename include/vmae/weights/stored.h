#pragma once
// What a file of weights holds besides its numbers, which are not read: for `vmae inspect`, without LibTorch.
// All failures are Error(checkpoint) naming the file, and the tensor where there is one.
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "vmae/weights/dtype.h"

namespace vmae::weights {

using Metadata = std::map<std::string, std::string>;

struct StoredTensor {
  const Dtype* dtype = nullptr;  // one of kDtypes
  std::vector<int64_t> shape{};
  int64_t numel() const;
};

struct StoredWeights {
  std::vector<std::pair<std::string, StoredTensor>> tensors;  // in the file's order
  Metadata metadata;
};

// Of safetensors, .pth or .npz, told apart by content, not by name: under the names that the file gives them, but of
// nnU-Net's checkpoints as read_nnunet_checkpoint() names them, each once. Entries "optimizer.*" and "state.*" are
// there, too. The places of all tensors in the file are checked, its checksums are not.
StoredWeights read_stored(const std::filesystem::path& path);

}  // namespace vmae::weights
