#pragma once
// Names that programs put in front of a network's own: "module." (DistributedDataParallel),
// "_orig_mod." (torch.compile), "model." (Lightning), "encoder.", "backbone." and whatever else, also
// one within another ("module._orig_mod."). The only place that removes them, for every file format.
#include <filesystem>
#include <string>

#include "vmae/weights/safetensors.h"

namespace vmae::weights {

// Names become those of the network itself:
//  - `_orig_mod`, `_fsdp_wrapped_module`, `_checkpoint_wrapped_module`,
//    `_forward_module` go wherever they stand, and every `module` at the front: they are
//  names
//    of wrappers alone;
//  - then what stands before the network's first weight (patch_embed.proj.weight; torchvision: features.0.0.weight;
//    transformers: embeddings.patch_embeddings.projection.weight) goes from the front of all names that begin with it.
//    Names without it stay as they are: whether they belong to the network is for those to say who load it;
//  - where there is no such weight, model, module, net, network,
//    backbone, encoder and state_dict, if all names begin with it.
// Returns what was removed, as a sentence for the log; "" for nothing. Throws Error(checkpoint) where two names become
// one, or where the file holds several networks (a student and its teacher), naming them; the file is then unchanged.
std::string unwrap(TensorFile& file, const std::filesystem::path& path);

// read_weights() without unwrap(), but of nnU-Net's checkpoints with it. shapes_only: of safetensors
// the header alone is read, and tensors are on the meta device.
TensorFile read_wrapped_weights(const std::filesystem::path& path, bool shapes_only = false);

}  // namespace vmae::weights
