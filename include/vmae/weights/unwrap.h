#pragma once
// Names that programs put in front of a network's own: "module." (DistributedDataParallel),
// "_orig_mod." (torch.compile), "model." (Lightning), "encoder.", "backbone." and whatever else, also
// one within another ("module._orig_mod."). The only place that removes them, for every file format.
#include <filesystem>
#include <string>
#include <vector>

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
std::string unwrap_names(std::vector<std::string>& names, const std::filesystem::path& path);

// Those of a TensorFile, or of StoredWeights.
template <class File>
std::string unwrap(File& file, const std::filesystem::path& path) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : file.tensors) names.push_back(name);
  std::string removed = unwrap_names(names, path);
  for (size_t i = 0; i < names.size(); ++i) file.tensors[i].first = std::move(names[i]);
  return removed;
}

}  // namespace vmae::weights
