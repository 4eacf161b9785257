#pragma once
// The several names of one tensor in nnU-Net's state dicts (weights/nnunet.h).
#include <string>
#include <string_view>

namespace vmae::weights {

constexpr std::string_view kEncoder = "encoder.", kDecoder = "decoder.";

std::string nnunet_first_name(std::string key);
std::string nnunet_second_name(std::string key);
// What stands before the part, of a key in a block of convolutions; "" of another.
std::string_view nnunet_conv_block(std::string_view key);

}  // namespace vmae::weights
