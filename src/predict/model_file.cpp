#include "vmae/predict/model_file.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "nnunet_card.h"
#include "vmae/core/error.h"
#include "vmae/core/json_text.h"
#include "vmae/core/log.h"
#include "vmae/runs/model_names.h"
#include "vmae/runs/nnunet_network.h"
#include "vmae/runs/pretrain_options.h"
#include "vmae/weights/nnunet.h"
#include "vmae/weights/transfer.h"
#include "vmae/weights/transunet.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

// As YAML writes it: numbers, booleans and lists of them are written alike in JSON; texts are quoted here.
nlohmann::ordered_json to_json(const Option& option) {
  const std::string text = option.get();
  auto json = nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  return json.is_discarded() ? nlohmann::ordered_json(text) : json;
}

void read_options(const std::string& text, const Options& list) {
  if (is_deep_json(text))
    throw Error(ExitCode::checkpoint, "the model options in the file nest too deeply: it is damaged");
  const auto json = nlohmann::json::parse(text);
  for (const auto& [key, value] : json.items()) {
    const Option* option = list.find(key);
    if (option == nullptr) continue;  // written by a later version, or of another model
    const auto as_text = [](const nlohmann::json& item) {
      return item.is_string() ? item.get<std::string>() : item.dump();
    };
    OptionValue parsed;
    parsed.is_list = value.is_array();
    if (value.is_array())
      for (const auto& item : value) parsed.items.push_back(as_text(item));
    else
      parsed.items.push_back(as_text(value));
    option->set(parsed);
  }
}

template <class ModelOptions>
void read_model_options(const weights::TensorFile& file, ModelOptions& options) {
  Options list;
  describe(list, options);
  read_options(file.metadata.at("model_options"), list);
}

at::IntArrayRef shape(const weights::TensorFile& file, const std::string& key) {
  const at::Tensor* tensor = file.find(key);
  if (tensor == nullptr) throw std::out_of_range(key);
  return tensor->sizes();
}

void read_shapes(const weights::TensorFile& file, nn::SwinOptions& swin) {
  swin.embed_dim = shape(file, "patch_embed.proj.weight").at(0);
  swin.in_channels = shape(file, "patch_embed.proj.weight").at(1);
  swin.mlp_ratio =
      static_cast<double>(shape(file, "layers.0.blocks.0.mlp.fc1.weight").at(0)) / static_cast<double>(swin.embed_dim);
  swin.window_size = (static_cast<int64_t>(std::lround(
                          std::sqrt(shape(file, "layers.0.blocks.0.attn.relative_position_bias_table").at(0)))) +
                      1) /
                     2;
  swin.conv_stem = file.find("conv_stem.proj.weight") != nullptr;
  for (size_t stage = 0; stage < 4; ++stage) {
    swin.num_heads[stage] = shape(file, concat("layers.", stage, ".blocks.0.attn.relative_position_bias_table")).at(1);
    int64_t depth = 1;
    while (file.find(concat("layers.", stage, ".blocks.", depth, ".norm1.weight")) != nullptr) ++depth;
    swin.depths[stage] = depth;
  }
}

// How many of key(0), key(1), ... the file has without a gap.
int64_t count_of(const weights::TensorFile& file, const std::function<std::string(int64_t)>& key) {
  int64_t count = 0;
  while (file.find(key(count)) != nullptr) ++count;
  return count;
}

void read_shapes(const weights::TensorFile& file, nn::UnetOptions& unet) {
  const std::string blocks = "decoder.blocks.";
  constexpr int64_t kTokenSide = 16;
  nn::TransUnetOptions& net = unet.transunet;
  net = transunet_encoder_of(file, net);
  unet.swin.in_channels = shape(file, "transformer.embeddings.hybrid_model.root.conv.weight").at(1);
  const int64_t positions = shape(file, "transformer.embeddings.position_embeddings").at(1),
                side = kTokenSide * std::llround(std::sqrt(static_cast<double>(positions)));
  unet.swin.image_size = {side, side};
  net.decoder_channels = {shape(file, "decoder.conv_more.0.weight").at(0)};
  for (int64_t i = 0; i < 4; ++i)
    net.decoder_channels.push_back(shape(file, concat(blocks, i, ".conv1.0.weight")).at(0));
}

[[noreturn]] void fail(const fs::path& path, const std::string& what, const std::exception& problem) {
  throw Error(ExitCode::checkpoint, concat(path.string(), ": not the weights of a ", what, " (", problem.what(), ")"),
              "see what is in it: vmae inspect " + path.string());
}

struct CardOptions {
  data::ImageOptions image;
  bool minmax = false;
};
void describe(Options& options, CardOptions& card) {
  data::describe(options, card.image);
  options.add("minmax", card.minmax, "");
}

// As image_options_of().
std::optional<CardOptions> preparation_of(const weights::TensorFile& file) {
  CardOptions options;
  if (const auto found = file.metadata.find("image_options"); found != file.metadata.end()) {
    Options list;
    describe(list, options);
    read_options(found->second, list);
    if (nlohmann::json::parse(found->second).contains("minmax")) return options;
  }
  const bool is_known = file.metadata.contains("image_options");  // but for minmax
  const auto yaml = file.metadata.find("config");
  if (yaml == file.metadata.end()) return is_known ? std::optional(options) : std::nullopt;
  try {
    PretrainConfig config;
    Options list;
    describe(list, config);
    read_config_text(yaml->second, "the config in the weights", list);
    if (!is_known) options.image = config.data.image;
    options.minmax = config.data.augment.minmax;
    return options;
  } catch (const Error& error) {
    log::debug(concat("how images were prepared for the weights is not known: ", error.what()));  // of another version
    return is_known ? std::optional(options) : std::nullopt;
  }
}

void read_channels(const weights::TensorFile& file, ModelCard& card) {
  for (const auto& [key, list] :
       {std::pair{"channel_names", &card.channel_names}, {"channel_modalities", &card.channel_modalities}}) {
    if (const auto found = file.metadata.find(key); found != file.metadata.end())
      *list = nlohmann::json::parse(found->second).get<std::vector<std::string>>();
  }
}

ModelCard card_of(const weights::TensorFile& file, const fs::path& path, int64_t num_outputs, bool is_segmenter) {
  ModelCard card;
  const auto found = file.metadata.find("class_names");
  if (found == file.metadata.end()) {
    log::warning(path.string() +
                 ": does not say its classes and how images were prepared; classes are named by numbers, images are "
                 "prepared by default");
    for (int64_t i = is_segmenter ? 1 : 0; i < num_outputs; ++i) card.class_names.push_back(std::to_string(i));
    return card;
  }
  CardOptions options;
  Options list;
  describe(list, options);
  read_options(file.metadata.at("image_options"), list);
  card.class_names = nlohmann::json::parse(found->second).get<std::vector<std::string>>();
  if (const auto modality = file.metadata.find("modality"); modality != file.metadata.end())
    card.modalities = {modality->second};
  read_channels(file, card);
  if (const auto all = file.metadata.find("modalities"); all != file.metadata.end())
    card.modalities = nlohmann::json::parse(all->second).get<std::vector<std::string>>();
  if (const auto mirrors = file.metadata.find("mirrors"); mirrors != file.metadata.end())
    card.mirrors = mirrors->second;
  if (const auto values = file.metadata.find("label_values"); values != file.metadata.end())
    card.label_values = nlohmann::json::parse(values->second).get<std::vector<int64_t>>();
  if (const auto input = file.metadata.find("input_statistics"); input != file.metadata.end())
    card.input = input_statistics_of(input->second);
  card.is_multi_label = file.metadata.at("is_multi_label") == "true";
  card.pool = file.metadata.at("pool");
  card.image = options.image;
  card.minmax = options.minmax;
  if (static_cast<int64_t>(card.class_names.size()) != num_outputs - (is_segmenter ? 1 : 0)) {
    throw Error(ExitCode::checkpoint, concat(card.class_names.size(), " class names for ", num_outputs, " outputs"));
  }
  const bool has_values = card.label_values.empty() || card.label_values.size() == card.class_names.size();
  if (!has_values || std::any_of(card.label_values.begin(), card.label_values.end(),
                                 [](int64_t value) { return value < 1 || value > 255; }))
    throw Error(ExitCode::checkpoint, "its label_values are not one mask value from 1 to 255 for each class");
  return card;
}

// The same of an nnU-Net, with what it has besides.
void take_nnunet_card(const weights::TensorFile& file, const fs::path& path, int64_t num_outputs, LoadedModel& model) {
  const NnUnetCard own = nnunet_card_of(file.metadata);
  if (own.labels.num_heads() != num_outputs)
    throw Error(ExitCode::checkpoint,
                concat("its labels need ", own.labels.num_heads(), " outputs, but its network has ", num_outputs));
  const bool is_ours = file.metadata.contains("class_names");
  if (is_ours) model.card = card_of(file, path, std::ssize(own.labels.foreground) + 1, /*is_segmenter=*/true);
  complete_card(own, is_ours, model.card);
  model.plans = own.plans;
  model.labels = own.labels;
  model.mirror_axes = own.mirror_axes;
}

}  // namespace

std::string options_json(const Options& list) {
  nlohmann::ordered_json json;
  for (const auto& option : list.all()) json[option.key] = to_json(option);
  return json.dump();
}

std::string model_name_of(const weights::TensorFile& file) {
  if (const auto found = file.metadata.find("model"); found != file.metadata.end()) return found->second;
  if (weights::is_transunet(file)) return "transunet";
  if (weights::is_flax_vit(file)) return "R50+ViT";
  if (file.find(nn::find_segmenter("nnunet")->head) != nullptr) return "nnunet";
  if (file.find("skip_connection_layers.0.weight") != nullptr) return "swin-unet";
  if (file.find("projection.layers.0.linear.weight") != nullptr) return "simclr";
  return file.find("decoder_pred.weight") == nullptr && file.find("head.weight") != nullptr ? "swin-classifier" : "mae";
}

void require_model(const weights::TensorFile& file, const fs::path& path, const std::string& name,
                   const std::string& hint) {
  const std::string theirs = model_name_of(file);
  if (theirs == name) return;
  throw Error(ExitCode::checkpoint,
              concat("model.init = ", path.string(), " holds weights of ", theirs, ", but model.name = ", name), hint);
}

nn::MaeOptions model_options_of(const weights::TensorFile& file, const fs::path& path, const nn::MaeOptions& defaults) {
  try {
    nn::MaeOptions options = defaults;
    if (file.metadata.contains("model_options")) {
      options = {};
      read_model_options(file, options);
      return options;
    }
    read_shapes(file, options.swin);
    shape(file, "decoder_pred.weight");
    return options;
  } catch (const std::exception& problem) {
    fail(path, "Swin masked autoencoder", problem);
  }
}

nn::SimclrOptions simclr_options_of(const weights::TensorFile& file, const fs::path& path) {
  try {
    nn::SimclrOptions options;
    read_model_options(file, options);
    return options;
  } catch (const std::exception& problem) {
    fail(path, "SimCLR encoder", problem);
  }
}

nn::SwinOptions swin_options_of(const weights::TensorFile& file, const fs::path& path, bool is_imagenet,
                                const nn::SwinOptions& defaults) {
  if (weights::is_transunet(file) || weights::is_flax_vit(file))
    throw Error(ExitCode::checkpoint, path.string() + ": the weights of a TransUNet or its encoder, which is no Swin's",
                "vmae finetune-seg model.name=transunet takes them");
  try {
    nn::SwinOptions swin = defaults;
    if (is_imagenet) {
      swin.shift_small_grids = false;
      swin.layer_norm_eps = 1e-5;
    }
    if (file.metadata.contains("model_options")) read_model_options(file, swin);
    read_shapes(file, swin);
    return swin;
  } catch (const std::exception& problem) {
    fail(path, "Swin encoder", problem);
  }
}

nn::TransUnetOptions transunet_encoder_of(const weights::TensorFile& file, nn::TransUnetOptions net) {
  const std::string embeddings = "transformer.embeddings.", stem = embeddings + "hybrid_model.",
                    layer = "transformer.encoder.layer.";
  constexpr int64_t kHeadWidth = 64;
  const auto take = [&](const std::string& key, int64_t dimension, int64_t& size) {
    const at::Tensor* tensor = file.find(key);
    if (tensor != nullptr && tensor->dim() > dimension) size = tensor->size(dimension);
  };
  const auto count = [&](const std::function<std::string(int64_t)>& key, int64_t& size) {
    if (const int64_t found = count_of(file, key); found > 0) size = found;
  };
  take(stem + "root.conv.weight", 0, net.stem_width);
  for (size_t block = 0; block < net.stem_units.size(); ++block)
    count([&](int64_t unit) { return concat(stem, "body.block", block + 1, ".unit", unit + 1, ".conv1.weight"); },
          net.stem_units[block]);
  take(embeddings + "position_embeddings", 2, net.vit_width);
  net.vit_heads = std::max<int64_t>(1, net.vit_width / kHeadWidth);
  count([&](int64_t i) { return concat(layer, i, ".ffn.fc1.weight"); }, net.vit_layers);
  take(layer + "0.ffn.fc1.weight", 0, net.vit_mlp);
  return net;
}

nn::UnetOptions unet_options_of(const weights::TensorFile& file, const fs::path& path, bool is_imagenet) {
  nn::UnetOptions unet;
  const nn::SegmenterKind* kind = nn::find_segmenter(model_name_of(file));
  if (kind == nullptr) kind = &nn::segmenter_kinds().front();
  const bool has_options = file.metadata.contains("model_options");
  try {
    if (has_options || kind->name == "unet") read_model_options(file, unet);
    if (!has_options && kind->name == "transunet") read_shapes(file, unet);
    if (!has_options && kind->name == "nnunet") set_network(*nnunet_card_of(file.metadata).plans, 0, unet);
    unet.num_classes = shape(file, kind->head).at(0);
  } catch (const std::exception& problem) {
    fail(path, kind->title, problem);
  }
  if (kind->is_swin) unet.swin = swin_options_of(file, path, is_imagenet);
  return unet;
}

std::string mirrors_of(const data::AugmentOptions& augment) {
  const bool horizontal = augment.flip_horizontal > 0 || augment.rot90 > 0,
             vertical = augment.flip_vertical > 0 || augment.rot90 > 0;
  if (horizontal && vertical) return "both";
  if (horizontal) return "horizontal";
  return vertical ? "vertical" : "none";
}

namespace {

std::string text_of(const std::vector<std::string>& list) { return json_text(nlohmann::json(list)); }

}  // namespace

void add_channels(const ModelCard& card, weights::Metadata& metadata) {
  if (card.channel_names.empty()) return;
  metadata["channel_names"] = text_of(card.channel_names);
  metadata["channel_modalities"] = text_of(card.channel_modalities);
}

void add_card(const ModelCard& card, weights::Metadata& metadata) {
  metadata["class_names"] = text_of(card.class_names);
  if (!card.modality().empty()) metadata["modality"] = card.modality();
  if (!card.modalities.empty()) metadata["modalities"] = text_of(card.modalities);
  add_channels(card, metadata);
  if (card.mirrors != "unknown") metadata["mirrors"] = card.mirrors;
  if (!card.label_values.empty()) metadata["label_values"] = nlohmann::json(card.label_values).dump();
  if (card.input) metadata["input_statistics"] = to_json(*card.input);
  metadata["is_multi_label"] = card.is_multi_label ? "true" : "false";
  metadata["pool"] = card.pool;
  metadata["image_options"] = image_options_json(card.image, card.minmax);
}

std::string image_options_json(const data::ImageOptions& image, bool minmax) {
  return model_options_json(CardOptions{image, minmax});
}

std::optional<data::ImageOptions> image_options_of(const weights::TensorFile& file) {
  const auto prepared = preparation_of(file);
  return prepared ? std::optional(prepared->image) : std::nullopt;
}

LoadedModel load_model(const fs::path& path, at::Device device) {
  weights::TensorFile file = weights::read_weights(path);
  weights::require_finite(file, path);
  if (weights::is_flax_vit(file))
    throw Error(ExitCode::checkpoint, path.string() + ": the encoder of a TransUNet alone predicts nothing",
                "fine-tune it first: vmae finetune-seg model.name=transunet with model.init");
  const bool is_imagenet = weights::is_imagenet_swin(weights::rename_to_reference(file));
  LoadedModel model;
  model.name = model_name_of(file);
  if (model.name == "nnunet") file.tensors = weights::without_copies(file.tensors, path);
  if (is_of_pretraining(model.name)) {
    const char* kind = model.name == "mae" ? "a masked autoencoder" : "an encoder of contrastive pretraining";
    throw Error(ExitCode::checkpoint, concat(path.string(), ": ", kind, " predicts nothing"),
                "fine-tune it first: vmae finetune-seg or finetune-cls with model.init");
  }
  const nn::SegmenterKind* kind = nn::find_segmenter(model.name);
  const bool is_segmenter = kind != nullptr;
  const nn::UnetOptions unet = is_segmenter ? unet_options_of(file, path, is_imagenet)
                                            : nn::UnetOptions{swin_options_of(file, path, is_imagenet)};
  const nn::SwinOptions& swin = unet.swin;
  try {
    const int64_t num_outputs = shape(file, is_segmenter ? kind->head : "head.weight").at(0);
    if (model.name == "nnunet") take_nnunet_card(file, path, num_outputs, model);
    if (model.name != "nnunet") model.card = card_of(file, path, num_outputs, is_segmenter);
    if (is_segmenter) model.segmenter = nn::make_segmenter(model.name, unet);
    if (!is_segmenter) model.classifier = nn::SwinClassifier(nn::ClassifierOptions{swin, num_outputs});
  } catch (const Error& problem) {
    throw Error(ExitCode::checkpoint, concat(path.string(), ": ", problem.what()), problem.hint());
  } catch (const std::exception& problem) {
    fail(path, "segmenter or classifier", problem);
  }
  torch::nn::Module& module =
      is_segmenter ? *model.segmenter.module : static_cast<torch::nn::Module&>(*model.classifier);
  weights::require_complete(weights::load_into(module, file), path);
  module.to(device);
  module.eval();
  model.card.image.image_size = swin.image_size;
  model.card.image.in_channels = swin.in_channels;
  return model;
}

LoadedEncoder load_encoder(const fs::path& path, at::Device device) {
  weights::TensorFile file = weights::read_weights(path);
  LoadedEncoder encoder;
  weights::rename_to_reference(file);
  encoder.name = model_name_of(file);
  const nn::SegmenterKind* kind = nn::find_segmenter(encoder.name);
  const bool is_flax = weights::is_flax_vit(file);
  if (is_flax || (kind != nullptr && !kind->is_swin))
    throw Error(
        ExitCode::checkpoint,
        concat(path.string(), ": weights of ", is_flax ? encoder.name : kind->title, ", which has no Swin encoder"),
        "take weights of pretrain, finetune-cls, or finetune-seg with model.name=swin-unet");
  if (!is_of_pretraining(encoder.name)) {
    const LoadedModel model = load_model(path, device);
    encoder.card = model.card;
    if (model.is_segmenter()) encoder.module = model.segmenter.module;
    if (!model.is_segmenter()) encoder.module = model.classifier.ptr();
  } else {
    weights::require_finite(file, path);
    encoder.module = encoder.name == "mae"
                         ? nn::Mae(model_options_of(file, path)).ptr()
                         : std::shared_ptr<torch::nn::Module>(nn::Simclr(simclr_options_of(file, path)).ptr());
    weights::require_complete(weights::load_into(*encoder.module, file), path);
    const auto prepared = preparation_of(file);
    if (!prepared) log::warning(path.string() + ": does not say how images were prepared; they are by default");
    if (prepared) {
      encoder.card.image = prepared->image;
      encoder.card.minmax = prepared->minmax;
    }
    read_channels(file, encoder.card);
    const nn::SwinOptions& swin = encoder.module->as<nn::SwinEncoderImpl>()->swin();
    encoder.card.image.image_size = swin.image_size;
    encoder.card.image.in_channels = swin.in_channels;
    encoder.module->to(device);
    encoder.module->eval();
  }
  encoder.net = encoder.module->as<nn::SwinEncoderImpl>();
  return encoder;
}

}  // namespace vmae::run
