#include "vmae/weights/nnunet.h"

#include <ATen/ops/isclose.h>

#include <unordered_map>

#include "input_file.h"
#include "nnunet_names.h"

namespace vmae::weights {
namespace {

// Behind the tensors of each block the same by their second names.
NamedTensors with_second_names(const NamedTensors& state) {
  NamedTensors all;
  for (size_t begin = 0, end = 0; begin < state.size(); begin = end) {
    const std::string_view block = nnunet_conv_block(state[begin].first);
    while (end < state.size() && nnunet_conv_block(state[end].first) == block) all.push_back(state[end++]);
    if (block.empty()) continue;
    for (size_t i = begin; i < end; ++i) all.emplace_back(nnunet_second_name(state[i].first), state[i].second);
  }
  return all;
}

bool is_same(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         at::isclose(a, b, /*rtol=*/0, /*atol=*/0, /*equal_nan=*/true).all().item<bool>();
}

}  // namespace

NamedTensors without_copies(const NamedTensors& tensors, const std::filesystem::path& path) {
  NamedTensors once;
  std::unordered_map<std::string, size_t> places;  // in `once`
  for (const auto& [key, tensor] : tensors) {
    const std::string first = nnunet_first_name(key);
    const auto [found, is_new] = places.try_emplace(first, once.size());
    if (is_new) {
      once.emplace_back(first, tensor);
    } else if (!is_same(tensor, once[found->second].second)) {
      fail(path,
           concat(key, " is not equal to the other copies of ", first, ": nnU-Net writes the same weights as both"),
           "the file was changed, or is not nnU-Net's: use the one that nnU-Net wrote");
    }
  }
  return once;
}

NamedTensors with_copies(const NamedTensors& state) {
  const NamedTensors named = with_second_names(state);
  NamedTensors encoder, copied, rest;
  for (const auto& [key, tensor] : named) {
    const bool is_encoder = key.starts_with(kEncoder);
    (is_encoder ? encoder : rest).emplace_back(key, tensor);
    if (is_encoder) copied.emplace_back(std::string(kDecoder) + key, tensor);
  }
  NamedTensors all = std::move(encoder);
  all.insert(all.end(), copied.begin(), copied.end());
  all.insert(all.end(), rest.begin(), rest.end());
  return all;
}

}  // namespace vmae::weights
