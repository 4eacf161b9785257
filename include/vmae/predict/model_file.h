#pragma once
// Models together with the options that built them, from and to weight
// files. What `predict` needs to know lies in the file's metadata.
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vmae/core/options.h"
#include "vmae/data/augment.h"
#include "vmae/data/image_options.h"
#include "vmae/nn/classifier.h"
#include "vmae/nn/mae.h"
#include "vmae/nn/segmenters.h"
#include "vmae/nn/simclr.h"
#include "vmae/nn/unet.h"
#include "vmae/nnunet/labels.h"
#include "vmae/nnunet/plans.h"
#include "vmae/predict/input_statistics.h"
#include "vmae/weights/safetensors.h"

namespace vmae::run {

// Metadata "model_options": every option that describe() lists.
std::string options_json(const Options& list);
template <class ModelOptions>
std::string model_options_json(ModelOptions options) {
  Options list;
  describe(list, options);
  return options_json(list);
}

// One of model_names(), or "R50+ViT", the encoder of a TransUNet alone: what the file says, or for files of other
// programs what its keys are those of.
std::string model_name_of(const weights::TensorFile& file);
// Throws Error(checkpoint) where model.init holds another model than model.name.
void require_model(const weights::TensorFile& file, const std::filesystem::path& path, const std::string& name,
                   const std::string& hint);

// The options of the model that a file's weights belong to: from its metadata, or, for files of other
// programs, from the shapes of its tensors (image size, mask ratio, norm-pix loss and drop path can't be
// seen there and keep their values in `defaults`, as do shift and epsilon unless the names are those of an
// ImageNet Swin). The file's keys must have been renamed (weights::rename_to_reference) for the two last.
// Throws Error(checkpoint) if these are not the weights of a Swin masked autoencoder, or of a Swin encoder.
nn::MaeOptions model_options_of(const weights::TensorFile& file, const std::filesystem::path& path,
                                const nn::MaeOptions& defaults = {});
// Of contrastive pretraining; only files of ours hold it whole.
nn::SimclrOptions simclr_options_of(const weights::TensorFile& file, const std::filesystem::path& path);
nn::SwinOptions swin_options_of(const weights::TensorFile& file, const std::filesystem::path& path, bool is_imagenet,
                                const nn::SwinOptions& defaults = {});
// Of a TransUNet or its encoder alone, in TransUNet's names: what its encoder's shapes tell; what they don't, because
// tensors are missing, stays as in `net`. Heads are taken to be 64 channels wide.
nn::TransUnetOptions transunet_encoder_of(const weights::TensorFile& file, nn::TransUnetOptions net);
// Of a segmenter (model_name_of()), with as many classes as its head has. Of a TransUNet's files of
// other programs the image is a square, the encoder as transunet_encoder_of() has it.
nn::UnetOptions unet_options_of(const weights::TensorFile& file, const std::filesystem::path& path, bool is_imagenet);

// What a fine-tuned model needs besides its weights, to be used without a config.
struct ModelCard {
  std::vector<std::string> class_names{};  // segmentation: of values 1, 2, ...; classification: classes or findings
  bool is_multi_label = false;
  std::string pool = "mean";
  data::ImageOptions image{};
  bool minmax = false;  // data.minmax
  // of the images that were trained on, each once, sorted; "" where it is not known. Empty: the file does not say
  std::vector<std::string> modalities{};
  // The modality of all of them; "": not known, or several.
  std::string modality() const { return modalities.size() == 1 ? modalities.front() : ""; }
  // of cases of several channels, stacked: "" where one has no name; empty: each image by itself
  std::vector<std::string> channel_names{};
  std::vector<std::string> channel_modalities{};  // of each of them; "": not known, or several
  // of images in training: "horizontal", "vertical", "both" or "none"; "unknown": the file does not say
  std::string mirrors = "unknown";
  // segmentation: of the classes in label maps that are written; empty: 1, 2, ...
  std::vector<int64_t> label_values{};
  std::optional<InputStatistics> input{};  // none: the file does not say
  // an nnU-Net's regions, which overlap, in the order of its outputs: probabilities are theirs; empty: the classes'
  std::vector<std::string> region_names{};
};
std::string mirrors_of(const data::AugmentOptions& augment);
void add_card(const ModelCard& card, weights::Metadata& metadata);
// of it the channels alone: what weights of pretraining say besides
void add_channels(const ModelCard& card, weights::Metadata& metadata);

// How the images were prepared that weights learnt from: image_options,
// or what the config of the run says; nothing in files of other programs.
std::optional<data::ImageOptions> image_options_of(const weights::TensorFile& file);
// metadata "image_options"; minmax: data.minmax
std::string image_options_json(const data::ImageOptions& image, bool minmax);

// A model ready to predict.
struct LoadedModel {
  std::string name;  // one of nn::segmenter_kinds(), or swin-classifier
  ModelCard card;
  nn::SegmenterModule segmenter;
  nn::SwinClassifier classifier{nullptr};
  // of an nnU-Net (its files' metadata: nnunet_plans, nnunet_dataset, nnunet_mirror_axes)
  std::shared_ptr<const nnunet::Plans> plans{};  // of others nullptr
  nnunet::Labels labels{};
  std::vector<int64_t> mirror_axes{};  // that training mirrored along: 0 rows, 1 columns
  bool is_segmenter() const { return segmenter.net != nullptr; }
  at::Tensor forward(const at::Tensor& image) {
    return is_segmenter() ? segmenter.net->forward(image) : classifier->forward(image);
  }
};
// In evaluation mode on `device`. Files without a card (of other programs) get numbers for class names and the default
// image options with a warning. Throws Error(checkpoint), also for weights of pretraining, which predict nothing.
LoadedModel load_model(const std::filesystem::path& path, at::Device device);

// The Swin encoder of any of our models that has one.
struct LoadedEncoder {
  std::string name;  // mae, simclr, swin-unet, swin-classifier
  ModelCard card;    // of pretraining: image, minmax and channels alone
  std::shared_ptr<torch::nn::Module> module;
  nn::SwinEncoderImpl* net = nullptr;  // the same object
};
// As load_model(). Throws Error(checkpoint), also for other networks, which have none.
LoadedEncoder load_encoder(const std::filesystem::path& path, at::Device device);

}  // namespace vmae::run
