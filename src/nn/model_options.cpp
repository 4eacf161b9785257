#include "vmae/nn/model_options.h"

#include <algorithm>

#include "vmae/core/error.h"

namespace vmae::nn {

void describe(Options& options, SwinOptions& swin) {
  options.add("image_size", swin.image_size,
              "[height, width] of the network's input in pixels; need not be square. The masked autoencoder needs "
              "multiples of 32, TransUNet of 16, all others at least 32",
              at_least(1));
  options.add("in_channels", swin.in_channels,
              "input channels: 3 as the published weights (grey is repeated), 1 for grey alone", at_least(1));
  options.add("embed_dim", swin.embed_dim, "channels after the patch embedding; doubled by each later stage",
              at_least(4));
  options.add("depths", swin.depths,
              "Swin blocks in each of the four stages of the encoder; the decoder mirrors the first three",
              at_least(1));
  options.add("num_heads", swin.num_heads, "attention heads in each of the four stages", at_least(1));
  options.add("window_size", swin.window_size, "side of an attention window, in tokens", in_range(2, 32));
  options.add("mlp_ratio", swin.mlp_ratio, "hidden width of a block's MLP, as a multiple of its channels",
              in_range(0.25, 16));
  options.add("drop_path_rate", swin.drop_path_rate,
              "stochastic depth: rises linearly from 0 in the first block to this in the last", in_range(0.0, 0.9));
  options.add("layer_norm_eps", swin.layer_norm_eps, "epsilon of every LayerNorm", in_range(1e-12, 1e-2));
  options.add("shift_small_grids", swin.shift_small_grids,
              "shift the windows even where the token grid is a single window: true as VISION-MAE, false as ImageNet "
              "Swin (same weights, different function)");
}

void describe_conv_stem(Options& options, SwinOptions& swin) {
  options.add(
      "conv_stem", swin.conv_stem,
      "convolutions of the image at full, half and quarter resolution beside the patch embedding, whose tokens are 4 "
      "pixels wide: added to the tokens, "
      "and in segmentation joined again on the way back to pixels. Small sets are learnt sooner and finer with it");
}

static constexpr int64_t kSmallestSide = 32;  // the last stage of a Swin Transformer then has one token
static constexpr int64_t kTransUnetMultiple = 16, kGroupsOfStem = 32;

static void validate_size(const std::vector<int64_t>& image_size, int64_t size_multiple) {
  const auto fail = [](const std::string& what, const std::string& hint) { throw Error(ExitCode::usage, what, hint); };
  if (image_size.size() != 2)
    fail(concat("model.image_size has ", image_size.size(), " values"), "give [height, width], for example [224, 224]");
  for (const int64_t side : image_size) {
    if (side >= kSmallestSide && side % size_multiple == 0) continue;
    const auto size = concat("model.image_size = [", image_size[0], ", ", image_size[1], "]: ");
    if (side < kSmallestSide) fail(concat(size, side, " is too small"), concat("the smallest side is ", kSmallestSide));
    const int64_t below = side / size_multiple * size_multiple;
    fail(concat(size, side, " is not a multiple of ", size_multiple),
         concat("the nearest valid sizes are ", below, " and ", below + size_multiple));
  }
}

void validate(const SwinOptions& swin, int64_t size_multiple) {
  const auto fail = [](const std::string& what, const std::string& hint) { throw Error(ExitCode::usage, what, hint); };
  validate_size(swin.image_size, size_multiple);
  if (swin.depths.size() != 4 || swin.num_heads.size() != 4)
    fail("model.depths and model.num_heads need four values, one per stage", "for example depths: [2, 2, 2, 2]");
  if (swin.embed_dim % 4 != 0)
    fail(concat("model.embed_dim = ", swin.embed_dim, " is not a multiple of 4"),
         "use 96 (Swin-T) or another multiple of 4");
  for (size_t stage = 0; stage < 4; ++stage) {
    const int64_t dim = swin.embed_dim << stage;
    if (dim % swin.num_heads[stage] != 0) {
      fail(concat("model.num_heads: stage ", stage, " has ", dim, " channels, which ", swin.num_heads[stage],
                  " heads do not divide"),
           "give each stage a number of heads that divides embed_dim * 2^stage");
    }
  }
}

void describe(Options& options, MaeOptions& mae) {
  describe(options, mae.swin);
  options.add("mask_ratio", mae.mask_ratio, "mae: share of each image that is hidden, in units of 16 x 16 pixels",
              in_range(0.01, 0.99));
  options.add("norm_pix_loss", mae.norm_pix_loss,
              "mae: compare with pixels normalised per 4 x 4 patch (He et al. 2022) instead of the pixels themselves");
}

void describe(Options& options, TransUnetOptions& net) {
  options.add("vit_width", net.vit_width, "transunet: channels of the transformer's tokens", at_least(1));
  options.add("vit_layers", net.vit_layers, "transunet: layers of the transformer", at_least(1));
  options.add("vit_heads", net.vit_heads, "transunet: attention heads, which divide vit_width", at_least(1));
  options.add("vit_mlp", net.vit_mlp, "transunet: hidden width of a layer's MLP", at_least(1));
  options.add("dropout", net.dropout, "transunet: share of values dropped in the embedding and in each MLP",
              in_range(0.0, 0.9));
  options.add("stem_units", net.stem_units, "transunet: bottlenecks in each of the three blocks of the ResNet",
              at_least(1));
  options.add("stem_width", net.stem_width,
              "transunet: channels of the ResNet's first convolution, a multiple of 32; its blocks have 4, 8 and 16 "
              "times as many",
              at_least(1));
  options.add("decoder_channels", net.decoder_channels,
              "transunet: channels of the first convolution behind the transformer and of the four blocks that follow",
              at_least(1));
}

void describe(Options& options, NnUnetOptions& net) {
  options.add("features_per_stage", net.features_per_stage,
              "nnunet: channels of each stage, from the highest resolution to the bottleneck", at_least(1));
  options.add(
      "kernel_sizes", net.kernel_sizes,
      "nnunet: rows and columns of the convolutions of each stage, odd, in one list: [3, 1, 3, 3] for two stages",
      at_least(1));
  options.add("strides", net.strides,
              "nnunet: rows and columns by which the first convolution of each stage strides, in one list; 1, 1 in the "
              "first stage. Their products divide image_size",
              at_least(1));
  options.add("n_conv_per_stage", net.n_conv_per_stage, "nnunet: convolutions in each stage of the encoder",
              at_least(1));
  options.add("n_conv_per_stage_decoder", net.n_conv_per_stage_decoder,
              "nnunet: convolutions in each stage of the decoder, from the lowest resolution up, one stage less",
              at_least(1));
  options.add("conv_bias", net.conv_bias, "nnunet: convolutions have biases, those that bring the resolution up too");
}

void describe(Options& options, ContrastOptions& contrast) {
  options.add("projection_dim", contrast.projection_dim, "simclr: outputs of the projection head", at_least(1));
  options.add("projection_layers", contrast.projection_layers,
              "simclr: layers of the projection head, all but the last as wide as the encoder's output",
              in_range(1, 16));
  options.add("temperature", contrast.temperature,
              "simclr: similarities of views are divided by this before the softmax of the loss", above(0.0));
}

void describe(Options& options, SimclrOptions& simclr) {
  describe(options, simclr.swin);
  describe(options, simclr.contrast);
}

void describe(Options& options, UnetOptions& unet) {
  describe(options, unet.swin);
  describe_conv_stem(options, unet.swin);
  options.add("identity_joins", unet.identity_joins,
              "the 1x1 convolutions that join the decoder with the encoder's skips begin by passing the decoder on, so "
              "that a pretrained one begins as it was; "
              "false: random, as the reference");
  options.add("features", unet.features,
              "unet: channels of each stage; every stage after the first halves height and width", at_least(1));
  describe(options, unet.transunet);
  describe(options, unet.nnunet);
}

void validate_transunet(const UnetOptions& unet) {
  const TransUnetOptions& net = unet.transunet;
  const auto fail = [](const std::string& what, const std::string& hint) { throw Error(ExitCode::usage, what, hint); };
  validate_size(unet.swin.image_size, kTransUnetMultiple);
  if (net.vit_width % net.vit_heads != 0)
    fail(concat("model.vit_heads = ", net.vit_heads, " does not divide model.vit_width = ", net.vit_width),
         "give a number of heads that does");
  if (net.stem_width % kGroupsOfStem != 0)
    fail(concat("model.stem_width = ", net.stem_width, " is not a multiple of ", kGroupsOfStem),
         "its norms have that many groups: give 32 or 64");
  if (net.stem_units.size() != 3)
    fail(concat("model.stem_units has ", net.stem_units.size(), " values"), "give three, as in [3, 4, 9]");
  if (net.decoder_channels.size() != 5)
    fail(concat("model.decoder_channels has ", net.decoder_channels.size(), " values"),
         "give five, as in [512, 256, 128, 64, 16]");
}

// The image of an nnU-Net: halved as the strides say, down to more than one pixel (instance norm makes 0 of one).
static void validate_nnunet_size(const std::vector<int64_t>& image_size, const std::vector<int64_t>& strides) {
  const auto fail = [](const std::string& what, const std::string& hint) { throw Error(ExitCode::usage, what, hint); };
  if (image_size.size() != 2)
    fail(concat("model.image_size has ", image_size.size(), " values"), "give [height, width], for example [256, 224]");
  int64_t pixels = 1;  // of the bottleneck
  for (size_t axis = 0; axis < 2; ++axis) {
    int64_t multiple = 1;
    for (size_t i = axis; i < strides.size(); i += 2) {
      if (strides[i] > image_size[axis] / multiple)
        fail(concat("model.strides divide model.image_size = [", image_size[0], ", ", image_size[1], "] by more than ",
                    image_size[axis]),
             "give a larger image or fewer strides");
      multiple *= strides[i];
    }
    if (image_size[axis] % multiple != 0)
      fail(concat("model.image_size = [", image_size[0], ", ", image_size[1], "]: ", image_size[axis],
                  " is not a multiple of ", multiple, ", the product of model.strides"),
           concat("the nearest valid sizes are ", image_size[axis] / multiple * multiple, " and ",
                  (image_size[axis] / multiple + 1) * multiple));
    pixels *= image_size[axis] / multiple;
  }
  if (pixels < 2)
    fail(concat("model.strides leave one pixel of model.image_size = [", image_size[0], ", ", image_size[1], "]"),
         "give a larger image or fewer strides");
}

void validate_nnunet(const UnetOptions& unet) {
  const NnUnetOptions& net = unet.nnunet;
  const auto fail = [](const std::string& what, const std::string& hint) { throw Error(ExitCode::usage, what, hint); };
  const size_t stages = net.features_per_stage.size();
  const auto check_count = [&](const std::string& key, const std::vector<int64_t>& values, size_t expected) {
    if (values.size() == expected) return;
    fail(concat("model.", key, " has ", values.size(), " values"),
         concat("model.features_per_stage has ", stages, " stages, which need ", expected));
  };
  if (stages < 2) fail(concat("model.features_per_stage has ", stages, " values"), "give at least two stages");
  check_count("kernel_sizes", net.kernel_sizes, 2 * stages);
  check_count("strides", net.strides, 2 * stages);
  check_count("n_conv_per_stage", net.n_conv_per_stage, stages);
  check_count("n_conv_per_stage_decoder", net.n_conv_per_stage_decoder, stages - 1);
  for (const int64_t side : net.kernel_sizes) {
    if (side % 2 == 0) fail(concat("model.kernel_sizes: ", side, " is even"), "give odd ones, which keep the size");
  }
  if (net.strides[0] != 1 || net.strides[1] != 1)
    fail(concat("model.strides begin with ", net.strides[0], ", ", net.strides[1]),
         "begin with 1, 1: the first stage has the image's resolution");
  validate_nnunet_size(unet.swin.image_size, net.strides);
}

const std::vector<SegmenterKind>& segmenter_kinds() {
  static const std::vector<SegmenterKind> kinds{
      {.name = "swin-unet",
       .title = "Swin-UNet",
       .text = "the paper's",
       .head = "head.weight",
       .is_swin = true,
       .takes_init = true,
       .take_own =
           [](const UnetOptions& from, UnetOptions& to) {
             to.swin = from.swin;
             to.identity_joins = from.identity_joins;
           }},
      {.name = "unet",
       .title = "U-Net",
       .text = "a plain U-Net of convolutions, the baseline; of the keys below it has image_size, in_channels and "
               "features, and it begins at random",
       .head = "head.weight",
       .take_own = [](const UnetOptions& from, UnetOptions& to) { to.features = from.features; }},
      {.name = "transunet",
       .title = "TransUNet",
       .text = "TransUNet R50-ViT-B/16 (docs/baselines.md); it has image_size (multiples of 16), in_channels and the "
               "keys that say so, and begins at random or with R50+ViT-B_16.npz",
       .head = "segmentation_head.0.weight",
       .takes_init = true,
       .size_multiple = kTransUnetMultiple,
       .take_own = [](const UnetOptions& from, UnetOptions& to) { to.transunet = from.transunet; }},
      {.name = "nnunet",
       .title = "nnU-Net",
       .text = "nnU-Net's 2D configuration (docs/baselines.md), whose plan gives image_size, in_channels and the keys "
               "that say so; it begins at random or with weights of its own",
       .head = "decoder.seg_layers.0.weight",
       .takes_init = true,
       .take_own = [](const UnetOptions& from, UnetOptions& to) { to.nnunet = from.nnunet; }}};
  return kinds;
}

const SegmenterKind* find_segmenter(const std::string& name) {
  const std::vector<SegmenterKind>& kinds = segmenter_kinds();
  const auto found = std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) { return kind.name == name; });
  return found == kinds.end() ? nullptr : &*found;
}

void validate(const SegmenterKind& kind, const UnetOptions& unet) {
  if (kind.name == "transunet") return validate_transunet(unet);
  if (kind.name == "nnunet") return validate_nnunet(unet);
  validate(unet.swin, kind.size_multiple);
}

void describe(Options& options, ClassifierOptions& classifier) {
  describe(options, classifier.swin);
  describe_conv_stem(options, classifier.swin);
}

}  // namespace vmae::nn
