#include "vmae/weights/nnunet.h"

#include <ATen/ops/isclose.h>

#include <array>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "input_file.h"

namespace vmae::weights {
namespace {

constexpr std::string_view kEncoder = "encoder.", kDecoder = "decoder.", kCopiedEncoder = "decoder.encoder.";
// The parts of a block of convolutions by their first name and by their second.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kBlockParts{
    {{".conv.", ".all_modules.0."}, {".norm.", ".all_modules.1."}}};

std::string first_name(std::string key) {
  if (key.starts_with(kCopiedEncoder)) key.erase(0, kDecoder.size());
  for (const auto& [first, second] : kBlockParts) {
    if (const size_t place = key.find(second); place != std::string::npos) key.replace(place, second.size(), first);
  }
  return key;
}

std::string second_name(std::string key) {
  for (const auto& [first, second] : kBlockParts) {
    if (const size_t place = key.find(first); place != std::string::npos) key.replace(place, first.size(), second);
  }
  return key;
}

// What stands before the part, of a key in a block; "" of another.
std::string_view conv_block_of(std::string_view key) {
  for (const auto& [first, second] : kBlockParts) {
    if (const size_t place = key.find(first); place != std::string_view::npos) return key.substr(0, place);
  }
  return "";
}

// Behind the tensors of each block the same by their second names.
NamedTensors with_second_names(const NamedTensors& state) {
  NamedTensors all;
  for (size_t begin = 0, end = 0; begin < state.size(); begin = end) {
    const std::string_view block = conv_block_of(state[begin].first);
    while (end < state.size() && conv_block_of(state[end].first) == block) all.push_back(state[end++]);
    if (block.empty()) continue;
    for (size_t i = begin; i < end; ++i) all.emplace_back(second_name(state[i].first), state[i].second);
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
    const std::string first = first_name(key);
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
