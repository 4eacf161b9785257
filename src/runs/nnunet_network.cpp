#include "vmae/runs/nnunet_network.h"

#include <array>

namespace vmae::run {
namespace {

std::vector<int64_t> joined(const std::vector<std::array<int64_t, 2>>& pairs) {
  std::vector<int64_t> values;
  for (const auto& pair : pairs) values.insert(values.end(), pair.begin(), pair.end());
  return values;
}

}  // namespace

void set_network(const nnunet::Plans& plans, int64_t num_heads, nn::UnetOptions& net) {
  const nnunet::Configuration& flat = plans.flat;
  net.swin.image_size = {flat.patch_size[0], flat.patch_size[1]};
  net.swin.in_channels = std::ssize(flat.normalization);
  net.num_classes = num_heads;
  net.nnunet = {.features_per_stage = flat.network.features,
                .kernel_sizes = joined(flat.network.kernels),
                .strides = joined(flat.network.strides),
                .n_conv_per_stage = flat.network.convs_encoder,
                .n_conv_per_stage_decoder = flat.network.convs_decoder};
}

}  // namespace vmae::run
