#include "vmae/run/model_file.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "vmae/core/error.h"

namespace vmae::run {

namespace fs = std::filesystem;

std::string model_options_json(const nn::MaeOptions& options) {
  nn::MaeOptions copy = options;
  Options list;
  nn::describe(list, copy);
  nlohmann::ordered_json json;
  for (const auto& option : list.all())
    json[option.key] = nlohmann::json::parse(option.get());  // numbers, booleans and lists are written alike in YAML and JSON
  return json.dump();
}

namespace {

nn::MaeOptions from_metadata(const std::string& text) {
  nn::MaeOptions options;
  Options list;
  nn::describe(list, options);
  if (is_deep_json(text)) throw Error(ExitCode::checkpoint, "the model options in the file nest too deeply: it is damaged");
  const auto json = nlohmann::json::parse(text);
  for (const auto& [key, value] : json.items()) {
    const Option* option = list.find(key);
    if (option == nullptr) continue;  // written by a later version
    OptionValue text_value;
    text_value.is_list = value.is_array();
    if (value.is_array())
      for (const auto& item : value) text_value.items.push_back(item.dump());
    else
      text_value.items.push_back(value.dump());
    option->set(text_value);
  }
  return options;
}

nn::MaeOptions from_shapes(const weights::TensorFile& file, nn::MaeOptions options) {
  nn::SwinOptions& swin = options.swin;
  auto shape = [&](const std::string& key) {
    const at::Tensor* tensor = file.find(key);
    if (tensor == nullptr) throw std::out_of_range(key);
    return tensor->sizes();
  };
  swin.embed_dim = shape("patch_embed.proj.weight")[0];
  swin.in_channels = shape("patch_embed.proj.weight")[1];
  swin.mlp_ratio = static_cast<double>(shape("layers.0.blocks.0.mlp.fc1.weight")[0]) / static_cast<double>(swin.embed_dim);
  swin.window_size = (static_cast<int64_t>(std::lround(std::sqrt(shape("layers.0.blocks.0.attn.relative_position_bias_table")[0]))) + 1) / 2;
  for (size_t stage = 0; stage < 4; ++stage) {
    swin.num_heads[stage] = shape(concat("layers.", stage, ".blocks.0.attn.relative_position_bias_table"))[1];
    int64_t depth = 1;
    while (file.find(concat("layers.", stage, ".blocks.", depth, ".norm1.weight")) != nullptr) ++depth;
    swin.depths[stage] = depth;
  }
  shape("decoder_pred.weight");
  return options;
}

}  // namespace

nn::MaeOptions model_options_of(const weights::TensorFile& file, const fs::path& path, const nn::MaeOptions& defaults) {
  try {
    const auto found = file.metadata.find("model_options");
    return found == file.metadata.end() ? from_shapes(file, defaults) : from_metadata(found->second);
  } catch (const std::exception& problem) {
    throw Error(ExitCode::checkpoint, concat(path.string(), ": not the weights of a Swin masked autoencoder (", problem.what(), ")"),
                "see what is in it: vmae inspect " + path.string());
  }
}

fs::path find_weights(const fs::path& path) {
  if (fs::is_regular_file(path)) return path;
  for (const char* name : {"best.safetensors", "last.safetensors"}) {
    const fs::path file = path / "checkpoints" / name;
    if (fs::is_regular_file(file)) return file;
  }
  throw Error(ExitCode::checkpoint,
              concat(path.string(), fs::is_directory(path) ? ": a folder without checkpoints/best.safetensors or last.safetensors" : ": no such file"),
              "give a weights file (.safetensors, .pth) or the folder of a run");
}

}  // namespace vmae::run
