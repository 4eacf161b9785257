#pragma once
// The keys that describe a network: what of it a config, a checkpoint
// and a file of weights say. Without torch, as all *_options.h.
#include <cstdint>
#include <string>
#include <vector>

#include "vmae/core/options.h"

namespace vmae::nn {

struct SwinOptions {
  std::vector<int64_t> image_size{224, 224};  // [H, W] in pixels; the masked autoencoder needs multiples of 32
  int64_t in_channels = 3;
  int64_t embed_dim = 96;
  std::vector<int64_t> depths{2, 2, 2, 2};
  std::vector<int64_t> num_heads{3, 6, 12, 24};
  int64_t window_size = 7;
  double mlp_ratio = 4.0;
  double drop_path_rate = 0.1;
  double layer_norm_eps = 1e-6;
  bool conv_stem = false;  // of fine-tuned models (ConvStem); the masked autoencoder has none
  // shift odd blocks even where the grid is one window (method.md: VISION-MAE yes, ImageNet Swin no)
  bool shift_small_grids = true;
};
void describe(Options& options, SwinOptions& swin);  // all but conv_stem
void describe_conv_stem(Options& options, SwinOptions& swin);
// Throws Error(usage): a size that is no multiple of `size_multiple` gets the nearest valid ones.
void validate(const SwinOptions& swin, int64_t size_multiple = 32);

struct MaeOptions {
  SwinOptions swin;
  double mask_ratio = 0.75;
  bool norm_pix_loss = false;
};
void describe(Options& options, MaeOptions& mae);  // adds the keys of SwinOptions too

// TransUNet (transunet.h); image_size and in_channels are those of SwinOptions.
struct TransUnetOptions {
  int64_t vit_width = 768, vit_layers = 12, vit_heads = 12, vit_mlp = 3072;
  double dropout = 0.1;
  std::vector<int64_t> stem_units{3, 4, 9};
  int64_t stem_width = 64;
  std::vector<int64_t> decoder_channels{512, 256, 128, 64, 16};
};
void describe(Options& options, TransUnetOptions& net);

// nnU-Net's network (nnunet.h) in the words of its plans, by default that of 320 x 320 pixels. Stages from the highest
// resolution down; image_size and in_channels are those of SwinOptions.
struct NnUnetOptions {
  std::vector<int64_t> features_per_stage{32, 64, 128, 256, 512, 512, 512};
  std::vector<int64_t> kernel_sizes = std::vector<int64_t>(14, 3);         // rows, columns of each stage
  std::vector<int64_t> strides{1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2};  // likewise, of its first convolution
  std::vector<int64_t> n_conv_per_stage = std::vector<int64_t>(7, 2);
  std::vector<int64_t> n_conv_per_stage_decoder = std::vector<int64_t>(6, 2);  // from the lowest resolution up
  bool conv_bias = true;
};
void describe(Options& options, NnUnetOptions& net);

// What contrastive pretraining has besides the encoder.
struct ContrastOptions {
  int64_t projection_dim = 128;
  int64_t projection_layers = 3;
  double temperature = 0.1;
};
void describe(Options& options, ContrastOptions& contrast);

struct SimclrOptions {
  SwinOptions swin;
  ContrastOptions contrast;
};
void describe(Options& options, SimclrOptions& simclr);

struct UnetOptions {
  SwinOptions swin{.image_size = {320, 320}, .depths = {2, 2, 6, 2}};
  bool identity_joins = false;                           // how the joins of skips begin
  std::vector<int64_t> features{32, 64, 128, 256, 512};  // of ConvUnet
  TransUnetOptions transunet{};
  NnUnetOptions nnunet{};
  int64_t num_classes = 2;  // background included
};
void describe(Options& options, UnetOptions& unet);  // num_classes comes from the dataset
void validate_transunet(const UnetOptions& unet);    // as validate(), of a TransUNet: its own keys too
void validate_nnunet(const UnetOptions& unet);       // likewise, of an nnU-Net, which may be smaller than 32 pixels

// A network for segmentation: what is known of it without building it (make_segmenter() does, segmenters.h).
struct SegmenterKind {
  std::string name;           // model.name
  std::string title;          // for messages: "Swin-UNet"
  std::string text;           // for the documentation
  std::string head;           // key of the last layer's weight, whose first dimension is the number of classes
  bool is_swin = false;       // has the Swin encoder, and so what pretraining gives
  bool takes_init = false;    // model.init means something
  int64_t size_multiple = 1;  // of model.image_size
  // takes over the options that are its own, besides image_size and in_channels
  void (*take_own)(const UnetOptions& from, UnetOptions& to) = nullptr;
};
const std::vector<SegmenterKind>& segmenter_kinds();           // all of them, the default first
const SegmenterKind* find_segmenter(const std::string& name);  // nullptr: no such network
void validate(const SegmenterKind& kind, const UnetOptions& unet);

struct ClassifierOptions {
  SwinOptions swin{.depths = {2, 2, 6, 2}};
  int64_t num_classes = 2;  // outputs: classes of a softmax, or findings of which each has its own sigmoid
};
// the keys of SwinOptions; num_classes comes from the dataset
void describe(Options& options, ClassifierOptions& classifier);

}  // namespace vmae::nn
