#include "nnunet_names.h"

#include <array>
#include <utility>

namespace vmae::weights {
namespace {

constexpr std::string_view kCopiedEncoder = "decoder.encoder.";
// The parts of a block of convolutions by their first name and by their second.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kBlockParts{
    {{".conv.", ".all_modules.0."}, {".norm.", ".all_modules.1."}}};

}  // namespace

std::string nnunet_first_name(std::string key) {
  if (key.starts_with(kCopiedEncoder)) key.erase(0, kDecoder.size());
  for (const auto& [first, second] : kBlockParts) {
    if (const size_t place = key.find(second); place != std::string::npos) key.replace(place, second.size(), first);
  }
  return key;
}

std::string nnunet_second_name(std::string key) {
  for (const auto& [first, second] : kBlockParts) {
    if (const size_t place = key.find(first); place != std::string::npos) key.replace(place, first.size(), second);
  }
  return key;
}

std::string_view nnunet_conv_block(std::string_view key) {
  for (const auto& [first, second] : kBlockParts) {
    if (const size_t place = key.find(first); place != std::string_view::npos) return key.substr(0, place);
  }
  return "";
}

}  // namespace vmae::weights
