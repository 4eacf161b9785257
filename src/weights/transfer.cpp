#include "vmae/weights/transfer.h"

#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include "input_file.h"

namespace vmae::weights {
namespace {

bool has(const TensorFile& file, const std::string& key) { return file.find(key) != nullptr; }
bool any_key(const TensorFile& file, const std::function<bool(const std::string&)>& test) {
  return std::any_of(file.tensors.begin(), file.tensors.end(), [&](const auto& entry) { return test(entry.first); });
}

Naming naming_of(const TensorFile& file) {
  if (has(file, "features.0.0.weight")) return Naming::torchvision;
  if (has(file, "encoder.layers.0.blocks.0.layernorm_before.weight")) return Naming::transformers;
  if (has(file, "head.fc.weight") || has(file, "layers.3.downsample.reduction.weight")) return Naming::timm;
  if (any_key(file, [](const std::string& key) { return key.ends_with("attn_mask"); })) return Naming::microsoft;
  return Naming::reference;
}

// timm puts the merging before the stage that it leads to.
std::string from_timm(const std::string& key) {
  static const std::regex merging("layers\\.([1-3])\\.downsample\\.(.*)");
  std::smatch match;
  if (std::regex_match(key, match, merging))
    return concat("layers.", std::stoi(match[1]) - 1, ".downsample.", match[2].str());
  if (key.starts_with("head.fc.")) return "head." + key.substr(8);
  return key;
}

// features: 0 patch embedding (0 convolution, 2 norm), then stage, merging, stage, ...; mlp 0 and 3 are its layers.
std::string from_torchvision(const std::string& key) {
  static const std::regex feature("features\\.(\\d)\\.(.*)"), block("(\\d+)\\.(.*)");
  std::smatch match;
  if (!std::regex_match(key, match, feature)) return key;
  const int place = std::stoi(match[1]);
  const std::string rest = match[2];
  if (place == 0)
    return rest.starts_with("0.") ? "patch_embed.proj." + rest.substr(2) : "patch_embed.norm." + rest.substr(2);
  if (place % 2 == 0) return concat("layers.", place / 2 - 1, ".downsample.", rest);
  if (!std::regex_match(rest, match, block)) return key;
  std::string within = match[2];
  if (within.starts_with("mlp.0.")) within = "mlp.fc1." + within.substr(6);
  if (within.starts_with("mlp.3.")) within = "mlp.fc2." + within.substr(6);
  return concat("layers.", (place - 1) / 2, ".blocks.", match[1].str(), ".", within);
}

// The block that a key belongs to, "layers.2.blocks.5."; "" for all else. `stage`: "layers.2.blocks.".
std::string block_of(const std::string& key, std::string* stage = nullptr) {
  const size_t blocks = key.find(".blocks.");
  if (blocks == std::string::npos) return "";
  const size_t end = key.find('.', blocks + 8);
  if (end == std::string::npos) return "";
  if (stage != nullptr) *stage = key.substr(0, blocks + 8);
  return key.substr(0, end + 1);
}

using Renaming = std::pair<std::string_view, std::string_view>;

// The first that fits the front of a name replaces it.
std::string with_new_front(const std::string& name, const auto& renamings) {
  for (const auto& [theirs, ours] : renamings) {
    if (name.starts_with(theirs)) return concat(ours, name.substr(theirs.size()));
  }
  return name;
}

// The names of files; since transformers 5 a model in memory has the last five instead.
std::string from_transformers(const std::string& key) {
  static constexpr Renaming kParts[] = {{"embeddings.patch_embeddings.projection.", "patch_embed.proj."},
                                        {"embeddings.norm.", "patch_embed.norm."},
                                        {"embeddings.mask_token", "mask_token"},
                                        {"encoder.layers.", "layers."},
                                        {"layernorm.", "norm."},
                                        {"classifier.", "head."}};
  static constexpr Renaming kOfBlock[] = {{"layernorm_before.", "norm1."},
                                          {"layernorm_after.", "norm2."},
                                          {"attention.self.", "attn."},
                                          {"attention.output.dense.", "attn.proj."},
                                          {"intermediate.dense.", "mlp.fc1."},
                                          {"output.dense.", "mlp.fc2."},
                                          {"attention.q_proj.", "attn.query."},
                                          {"attention.k_proj.", "attn.key."},
                                          {"attention.v_proj.", "attn.value."},
                                          {"attention.o_proj.", "attn.proj."},
                                          {"attention.relative_position_bias.", "attn."}};
  const std::string name = with_new_front(key, kParts), block = block_of(name);
  return block + with_new_front(name.substr(block.size()), kOfBlock);
}

// attn.query, attn.key and attn.value of a block -> attn.qkv, one below the other, in the place of the first. What
// lacks one of them stays as it is: no network has such a name.
void join_query_key_value(TensorFile& file) {
  constexpr std::string_view kQuery = "attn.query.";
  std::set<std::string> joined;
  for (auto& [key, tensor] : file.tensors) {
    const size_t at = key.find(kQuery);
    if (at == std::string::npos || tensor.dim() == 0) continue;
    const std::string front = key.substr(0, at), end = key.substr(at + kQuery.size());
    const std::string other[] = {concat(front, "attn.key.", end), concat(front, "attn.value.", end)};
    const at::Tensor *keys = file.find(other[0]), *values = file.find(other[1]);
    if (keys == nullptr || values == nullptr || keys->sizes() != tensor.sizes() || values->sizes() != tensor.sizes())
      continue;
    tensor = at::cat({tensor, *keys, *values});
    key = concat(front, "attn.qkv.", end);
    joined.insert(std::begin(other), std::end(other));
  }
  std::erase_if(file.tensors, [&](const auto& entry) { return joined.contains(entry.first); });
}

bool is_decoder(const std::string& key) {
  return key.starts_with("first_patch_expanding.") || key.starts_with("layers_up.") || key.starts_with("norm_up.");
}
bool is_head(const std::string& key) { return key.starts_with("head."); }
bool is_of_pretraining(const std::string& key) {
  return key == "mask_token" || key == "pos_embed" || key.starts_with("decoder_pred.") ||
         key.starts_with("projection.");
}

// Blocks of a stage that is there, behind the last one that the file has.
bool is_added_block(const TensorFile& file, const std::string& key) {
  std::string stage;
  const std::string block = block_of(key, &stage);
  if (block.empty()) return false;
  return any_key(file, [&](const std::string& k) { return k.starts_with(stage); }) &&
         !any_key(file, [&](const std::string& k) { return k.starts_with(block); });
}

// Functions of the geometry, which a module has by itself.
bool is_computed(const std::string& key) {
  return key.ends_with("relative_position_index") || key.ends_with("attn_mask");
}

std::vector<std::string> filter(const std::vector<std::string>& keys,
                                const std::function<bool(const std::string&)>& keep) {
  std::vector<std::string> kept;
  std::copy_if(keys.begin(), keys.end(), std::back_inserter(kept), keep);
  return kept;
}

// Blocks, and the model's parts that have none, with their numbers of trained entries.
std::string grouped(const std::vector<std::string>& keys) {
  std::vector<std::pair<std::string, int64_t>> groups;
  for (const std::string& key : keys) {
    if (is_computed(key)) continue;
    std::string name = block_of(key);
    if (name.empty())
      name = key.starts_with("layers") ? key.substr(0, key.rfind('.') + 1) : key.substr(0, key.find('.') + 1);
    name = name.empty() ? key : name.substr(0, name.size() - 1);
    auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& one) { return one.first == name; });
    if (group == groups.end()) group = groups.insert(groups.end(), {name, 0});
    ++group->second;
  }
  std::vector<std::string> parts;
  for (const auto& [name, count] : groups) parts.push_back(count == 1 ? name : concat(name, " (", count, ")"));
  return join(parts, ", ");
}

}  // namespace

bool is_of_task(const std::string& key) {
  return is_head(key) || key.starts_with("norm.") || key.starts_with("skip_connection_layers.") ||
         key.starts_with("final_patch_expanding.") || key.starts_with("conv_stem.") ||
         key.starts_with("pixel_decoder.");
}

std::string name_of(Naming naming) {
  switch (naming) {
    case Naming::microsoft:
      return "Microsoft Swin";
    case Naming::timm:
      return "timm";
    case Naming::torchvision:
      return "torchvision";
    case Naming::transformers:
      return "Hugging Face transformers";
    case Naming::reference:
      break;
  }
  return "VISION-MAE";
}

bool is_imagenet_swin(Naming naming) { return naming != Naming::reference; }

Naming rename_to_reference(TensorFile& file) {
  const Naming naming = naming_of(file);
  for (auto& [key, tensor] : file.tensors) {
    if (naming == Naming::timm) key = from_timm(key);
    if (naming == Naming::torchvision) key = from_torchvision(key);
    if (naming == Naming::transformers) key = from_transformers(key);
  }
  if (naming == Naming::transformers) join_query_key_value(file);
  return naming;
}

bool tells_its_program(const TensorFile& file, Naming naming) {
  return naming != Naming::reference || file.metadata.contains("model_options") ||
         any_key(file, [](const std::string& key) { return is_of_pretraining(key) || is_decoder(key); });
}

bool fit_input_channels(TensorFile& file, int64_t in_channels) {
  for (auto& [key, tensor] : file.tensors) {
    if (key != "patch_embed.proj.weight" || tensor.dim() != 4 || tensor.size(1) == in_channels) continue;
    if (tensor.size(1) == 1) {
      tensor = (tensor.to(at::kFloat) / static_cast<double>(in_channels)).repeat({1, in_channels, 1, 1});
      return true;
    }
    if (in_channels == 1) {
      tensor = tensor.to(at::kFloat).sum(1, /*keepdim=*/true);
      return true;
    }
  }
  return false;
}

bool has_decoder(const TensorFile& file) { return any_key(file, is_decoder); }

LoadReport transfer_into(torch::nn::Module& module, TensorFile file, Parts parts, bool allow_mismatch,
                         const std::filesystem::path& path) {
  std::map<std::string, at::IntArrayRef> shapes;
  const NamedTensors state = state_dict(module);
  for (const auto& [key, tensor] : state) shapes[key] = tensor.sizes();
  std::vector<std::string> left;  // by rule
  std::erase_if(file.tensors, [&](const auto& entry) {
    const auto found = shapes.find(entry.first);
    const bool other_head = is_head(entry.first) && found != shapes.end() && found->second != entry.second.sizes();
    if (!is_of_pretraining(entry.first) && !other_head && !(parts == Parts::encoder && is_decoder(entry.first)))
      return false;
    left.push_back(entry.first);
    return true;
  });
  const bool has_their_decoder = has_decoder(file);
  LoadReport report = load_into(module, file);

  const std::vector<std::string> fresh = filter(report.fresh, [&](const std::string& key) {
    return !is_computed(key) && !is_of_task(key) && !is_added_block(file, key) &&
           !(is_decoder(key) && (parts == Parts::encoder || !has_their_decoder));
  });
  const std::vector<std::string> dropped = filter(report.dropped, [&](const std::string& key) {
    const bool wanted_decoder = is_decoder(key) && std::any_of(shapes.begin(), shapes.end(), [](const auto& entry) {
                                  return is_decoder(entry.first);
                                });
    return !is_computed(key) && !is_of_task(key) && (!is_decoder(key) || wanted_decoder);
  });
  const auto encoder_fits = std::count_if(report.loaded.begin(), report.loaded.end(),
                                          [](const auto& key) { return key.starts_with("layers."); });
  report.dropped.insert(report.dropped.begin(), left.begin(), left.end());
  const LoadReport unexpected{report.loaded, fresh, dropped, report.mismatched};
  if (encoder_fits == 0 || !allow_mismatch) {
    try {
      require_complete(unexpected, path);
    } catch (const Error& error) {
      throw Error(error.code(), error.what(), error.hint() + ", or load what fits with model.allow_mismatch=true");
    }
  }
  if (encoder_fits == 0)
    fail(path, "holds nothing of a Swin encoder of this size", "see what is in it: vmae inspect " + path.string());
  return report;
}

std::string describe_report(const LoadReport& report) {
  std::string text =
      concat(report.loaded.size(), " loaded, ", report.fresh.size(), " new, ", report.dropped.size(), " dropped");
  if (!report.mismatched.empty()) text += concat(", ", report.mismatched.size(), " of another shape");
  const auto names = [](const std::vector<std::string>& keys) {
    const std::string some = grouped(keys);
    return some.empty() ? "none but what the model computes itself" : some;
  };
  if (!report.fresh.empty()) text += "\n  new (random): " + names(report.fresh);
  if (!report.dropped.empty()) text += "\n  dropped (not used): " + names(report.dropped);
  if (!report.mismatched.empty()) text += "\n  of another shape (random): " + join(report.mismatched, "; ");
  return text;
}

}  // namespace vmae::weights
