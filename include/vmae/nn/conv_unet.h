#pragma once
// A plain U-Net (Ronneberger et al. 2015) of convolutions, as nnU-Net builds it (Isensee
// et al. 2021), without deep supervision: the baseline that a transformer has to beat.
#include "vmae/nn/conv_block.h"
#include "vmae/nn/segmenter.h"
#include "vmae/nn/unet.h"

namespace vmae::nn {

class ConvUnetImpl : public torch::nn::Module, public Segmenter {
 public:
  explicit ConvUnetImpl(const UnetOptions& options);  // of options.swin: in_channels

  // Any H and W: inside, zeros are added at the bottom and right
  // edge up to a multiple of 2^(stages - 1). There is no drop path.
  at::Tensor forward(const at::Tensor& image, const at::Tensor& draws = {}, const SumOverRanks& total = {}) override;
  int64_t num_draws() const override { return 1; }

 private:
  torch::nn::ModuleList encoder_, upsamplings_, decoder_;
  torch::nn::Conv2d head_{nullptr};
};
TORCH_MODULE(ConvUnet);

}  // namespace vmae::nn
