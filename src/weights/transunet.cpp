#include "vmae/weights/transunet.h"

#include <ATen/ops/upsample_bilinear2d.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <regex>

#include "input_file.h"

namespace vmae::weights {
namespace {

constexpr const char* kPositions = "transformer.embeddings.position_embeddings";
constexpr const char* kFlaxPositions = "Transformer/posembed_input/pos_embedding";
constexpr const char* kFlaxQuery = "Transformer/encoderblock_0/MultiHeadDotProductAttention_1/query/kernel";
constexpr int64_t kTokenSide = 16;  // pixels

const std::map<std::string, std::string>& flax_layer_parts() {
  static const std::map<std::string, std::string> parts{{"LayerNorm_0", "attention_norm"},
                                                        {"LayerNorm_2", "ffn_norm"},
                                                        {"MlpBlock_3/Dense_0", "ffn.fc1"},
                                                        {"MlpBlock_3/Dense_1", "ffn.fc2"},
                                                        {"MultiHeadDotProductAttention_1/query", "attn.query"},
                                                        {"MultiHeadDotProductAttention_1/key", "attn.key"},
                                                        {"MultiHeadDotProductAttention_1/value", "attn.value"},
                                                        {"MultiHeadDotProductAttention_1/out", "attn.out"}};
  return parts;
}

// The module that an array's folder is; "" for none.
std::string module_of_flax(const std::string& folder) {
  static const std::regex unit("block([1-9])/unit(\\d+)/(conv[1-3]|gn[1-3]|conv_proj|gn_proj)"),
      layer("Transformer/encoderblock_(\\d+)/(.+)");
  const std::string stem = "transformer.embeddings.hybrid_model.";
  if (folder == "conv_root") return stem + "root.conv";
  if (folder == "gn_root") return stem + "root.gn";
  if (folder == "embedding") return "transformer.embeddings.patch_embeddings";
  if (folder == "Transformer/encoder_norm") return "transformer.encoder.encoder_norm";
  std::smatch match;
  if (std::regex_match(folder, match, unit))
    return concat(stem, "body.block", match[1].str(), ".unit", std::stoll(match[2]), ".",
                  match[3] == "conv_proj" ? "downsample" : match[3].str());
  if (!std::regex_match(folder, match, layer) || !flax_layer_parts().contains(match[2])) return "";
  return concat("transformer.encoder.layer.", std::stoll(match[1]), ".", flax_layer_parts().at(match[2]));
}

// Of the ViT's classifier, which has no part in a segmenter.
bool is_of_flax_classifier(const std::string& name) {
  return name == "cls" || name.starts_with("head/") || name.starts_with("pre_logits/");
}

// Undefined where its dimensions are not those that a kernel of this kind has.
at::Tensor kernel_from_flax(const at::Tensor& kernel, const std::string& module) {
  if (kernel.dim() == 4) return kernel.permute({3, 2, 0, 1});                              // HWIO
  if (kernel.dim() == 3 && module.ends_with("attn.out")) return kernel.flatten(0, 1).t();  // (h, d, C)
  if (kernel.dim() == 3) return kernel.flatten(1).t();                                     // (C, h, d)
  return kernel.dim() == 2 ? kernel.t() : at::Tensor();
}

std::pair<std::string, at::Tensor> from_flax(const std::string& name, const at::Tensor& array,
                                             const std::filesystem::path& path) {
  if (name == kFlaxPositions) {
    if (array.dim() != 3 || array.size(0) != 1 || array.size(1) < 2)
      fail(path, concat(name, " has shape ", array.sizes(), ", expected (1, tokens + 1, channels)"));
    return {kPositions, array.slice(1, 1)};  // without the class token
  }
  const size_t slash = name.rfind('/');
  const std::string module = slash == std::string::npos ? "" : module_of_flax(name.substr(0, slash)),
                    kind = name.substr(slash + 1);
  at::Tensor weight;
  if (kind == "kernel") weight = kernel_from_flax(array, module);
  if (kind == "scale" || kind == "bias") weight = array.flatten();
  if (module.empty() || !weight.defined())
    fail(path, concat(name, " ", array.sizes(), " is no array of R50-ViT-B/16"),
         "model.name=transunet takes R50+ViT-B_16.npz as Google published it");
  return {module + (kind == "bias" ? ".bias" : ".weight"), weight};
}

bool is_of_decoder(const std::string& key) {
  return key.starts_with("decoder.") || key.starts_with("segmentation_head.");
}

}  // namespace

bool is_transunet(const TensorFile& file) { return file.find(kPositions) != nullptr; }
bool is_flax_vit(const TensorFile& file) { return file.find(kFlaxPositions) != nullptr; }

int64_t heads_of_flax_vit(const TensorFile& file, const std::filesystem::path& path) {
  const at::Tensor* kernel = file.find(kFlaxQuery);
  if (kernel == nullptr) fail(path, concat("has no ", kFlaxQuery));
  if (kernel->dim() != 3)
    fail(path, concat(kFlaxQuery, " has shape ", kernel->sizes(), ", expected (channels, heads, channels of a head)"));
  return kernel->size(1);
}

void rename_flax_vit(TensorFile& file, const std::filesystem::path& path) {
  std::erase_if(file.tensors, [](const auto& entry) { return is_of_flax_classifier(entry.first); });
  for (auto& [name, tensor] : file.tensors) std::tie(name, tensor) = from_flax(name, tensor, path);
}

bool fit_positions(TensorFile& file, const std::vector<int64_t>& from, const std::vector<int64_t>& to,
                   const std::filesystem::path& path) {
  for (auto& [name, tensor] : file.tensors) {
    if (name != kPositions) continue;
    if (tensor.dim() != 3) fail(path, concat(name, " has shape ", tensor.sizes(), ", expected (1, tokens, channels)"));
    const int64_t tokens = tensor.size(1), side = std::llround(std::sqrt(static_cast<double>(tokens)));
    const int64_t rows = from.empty() ? side : from[0] / kTokenSide,
                  columns = from.empty() ? side : from[1] / kTokenSide;
    if (rows * columns != tokens)
      fail(path, concat(name, " has ", tokens, " tokens, which is no ", from.empty() ? "square" : "grid of its size"));
    const std::vector<int64_t> grid{to[0] / kTokenSide, to[1] / kTokenSide};
    if (rows == grid[0] && columns == grid[1]) return false;
    const at::Tensor planes = tensor.to(at::kFloat).transpose(1, 2).reshape({1, -1, rows, columns});
    tensor = at::upsample_bilinear2d(planes, grid, /*align_corners=*/true).flatten(2).transpose(1, 2);
    return true;
  }
  return false;
}

LoadReport transfer_transunet(torch::nn::Module& module, TensorFile file, bool encoder_alone, bool allow_mismatch,
                              const std::filesystem::path& path) {
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const auto& [key, tensor] : state_dict(module)) shapes[key] = tensor.sizes().vec();
  std::vector<std::string> left;  // by rule
  std::erase_if(file.tensors, [&](const auto& entry) {
    const auto& [key, tensor] = entry;
    const bool is_other_head = key.starts_with("segmentation_head.") && shapes.contains(key) && tensor.dim() > 0 &&
                               shapes.at(key).front() != tensor.size(0);
    if (!is_other_head && !(encoder_alone && is_of_decoder(key))) return false;
    left.push_back(key);
    return true;
  });
  const bool has_decoder = std::any_of(file.tensors.begin(), file.tensors.end(),
                                       [](const auto& entry) { return entry.first.starts_with("decoder."); });
  LoadReport report = load_into(module, file);
  LoadReport unexpected = report;
  std::erase_if(unexpected.fresh, [&](const std::string& key) {
    return key.starts_with("segmentation_head.") || (is_of_decoder(key) && !has_decoder);
  });
  const bool encoder_fits = std::any_of(report.loaded.begin(), report.loaded.end(),
                                        [](const auto& key) { return key.starts_with("transformer.encoder.layer."); });
  if (!allow_mismatch || !encoder_fits) require_complete(unexpected, path);
  if (!encoder_fits)
    fail(path, "holds nothing of a TransUNet of this size", "see what is in it: vmae inspect " + path.string());
  report.dropped.insert(report.dropped.begin(), left.begin(), left.end());
  return report;
}

}  // namespace vmae::weights
