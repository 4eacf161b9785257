// What training, checkpoints and prediction rely on, of every network for segmentation.
#include "vmae/nn/segmenters.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "support/temp_folder.h"
#include "support/tensors.h"
#include "vmae/data/draws.h"
#include "vmae/weights/weights.h"

namespace vmae::nn {
namespace {

UnetOptions small_segmenter(int64_t channels) {
  UnetOptions options{.features = {4, 8, 16}, .num_classes = 5};
  options.swin = {.image_size = {48, 32},
                  .in_channels = channels,
                  .embed_dim = 8,
                  .depths = {1, 1, 1, 1},
                  .num_heads = {1, 1, 2, 2},
                  .window_size = 4};
  options.transunet = {.vit_width = 8,
                       .vit_layers = 1,
                       .vit_heads = 2,
                       .vit_mlp = 8,
                       .stem_units = {1, 1, 1},
                       .stem_width = 32,
                       .decoder_channels = {8, 8, 8, 8, 4}};
  options.nnunet = {.features_per_stage = {4, 6, 8},
                    .kernel_sizes = std::vector<int64_t>(6, 3),
                    .strides = {1, 1, 2, 2, 2, 2},
                    .n_conv_per_stage = {1, 1, 1},
                    .n_conv_per_stage_decoder = {1, 1}};
  return options;
}

at::Tensor image_for(const UnetOptions& options) {
  return at::arange(2 * options.swin.in_channels * 48 * 32).mul(0.37).sin().view({2, options.swin.in_channels, 48, 32});
}

class Segmenters : public ::testing::TestWithParam<SegmenterKind> {};
INSTANTIATE_TEST_SUITE_P(All, Segmenters, ::testing::ValuesIn(segmenter_kinds()), [](const auto& test) {
  std::string name = test.param.name;
  std::erase(name, '-');
  return name;
});

TEST_P(Segmenters, LogitsOfEveryClassAtAnySizeAndChannels) {
  for (const int64_t channels : {1, 3, 4}) {
    const UnetOptions options = small_segmenter(channels);
    validate(GetParam(), options);
    const SegmenterModule segmenter = make_segmenter(GetParam().name, options);
    segmenter.module->eval();
    EXPECT_EQ(segmenter.net->forward(image_for(options)).sizes(), at::IntArrayRef({2, 5, 48, 32}));
  }
}

TEST_P(Segmenters, TrainsEveryParameterByItsDrawsAlone) {
  const UnetOptions options = small_segmenter(1);
  const SegmenterModule segmenter = make_segmenter(GetParam().name, options);
  const at::Tensor draws = data::uniform_draws({1, 2}, Stream::drop_path, segmenter.net->num_draws());
  const at::Tensor logits = segmenter.net->forward(image_for(options), draws);
  logits.square().mean().backward();
  for (const auto& parameter : segmenter.module->named_parameters()) {
    if (parameter.key().starts_with("decoder.seg_layers.0.")) continue;  // nnU-Net's head of a lower resolution
    EXPECT_TRUE(parameter.value().grad().defined()) << parameter.key();
  }
  EXPECT_TRUE(test::same_bits(segmenter.net->forward(image_for(options), draws), logits));
}

// A file of its weights is all of it, and its last layer says how many classes there are.
TEST_P(Segmenters, ComesBackFromAFile) {
  const UnetOptions options = small_segmenter(1);
  const SegmenterModule first = make_segmenter(GetParam().name, options),
                        second = make_segmenter(GetParam().name, options);
  first.net->forward(image_for(options));  // moves running statistics
  const test::TempFolder folder;
  weights::write_safetensors(folder.path() / "w.safetensors", weights::state_dict(*first.module), {});
  const weights::TensorFile file = weights::read_weights(folder.path() / "w.safetensors");
  ASSERT_NE(file.find(GetParam().head), nullptr);
  EXPECT_EQ(file.find(GetParam().head)->size(0), options.num_classes);
  weights::require_complete(weights::load_into(*second.module, file), "w.safetensors");
  first.module->eval();
  second.module->eval();
  EXPECT_TRUE(test::same_bits(first.net->forward(image_for(options)), second.net->forward(image_for(options))));
}

}  // namespace
}  // namespace vmae::nn
