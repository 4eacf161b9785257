#pragma once
// PyTorch's zip checkpoints (.pth, .pt). Reading never executes anything in the file: the pickle is interpreted by a
// small machine that knows dict, list, tuple, set, str, bytes, numbers, OrderedDict, torch tensors and parameters,
// torch.Size, dtype and device, argparse.Namespace, and numpy scalars (weights/unpickle.h); any other global is
// carried as an opaque value, and an error if the weights themselves need it. Failures are Error(checkpoint). The
// zip's checksums are compared, where it has them.
#include <filesystem>

#include "vmae/weights/safetensors.h"

namespace vmae::weights {

// The weights in it, under the names that the file gives them: the dict itself, or the
// one under `model`, `state_dict`, `model_state_dict` or `network_weights`. Plain numbers and strings
// beside it (epoch, args.*) come back as metadata ("epoch": "3", "args.lr": "0.001").
// Of a checkpoint of nnU-Net: what weights/nnunet_checkpoint.h says.
TensorFile read_pth(const std::filesystem::path& path);

// A file that torch.load(path, weights_only=True) reads as an (ordered) dict of str ->
// tensor. The metadata (options, classes, preparation of images) lies beside it in the zip
// as JSON, record "vmae.json", which torch.load passes over and read_pth() brings back.
void write_pth(const std::filesystem::path& path, const NamedTensors& tensors, const Metadata& metadata = {});

}  // namespace vmae::weights
