#pragma once
// The networks of tests/golden/nnunet_net.json.
#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/source_path.h"
#include "vmae/nn/model_options.h"

namespace vmae::test {

inline nlohmann::json golden_json(const std::string& name) {
  std::ifstream file(source_path("tests/golden/" + name + ".json"));
  return nlohmann::json::parse(file);
}

// [[3, 1], [3, 3]] as the options have it.
inline std::vector<int64_t> joined_pairs(const nlohmann::json& pairs) {
  std::vector<int64_t> values;
  for (const auto& pair : pairs.get<std::vector<std::array<int64_t, 2>>>())
    values.insert(values.end(), pair.begin(), pair.end());
  return values;
}

// Of an entry of `nets`.
inline nn::UnetOptions nnunet_options(const nlohmann::json& net) {
  const auto numbers = [&](const char* key) { return net.at(key).get<std::vector<int64_t>>(); };
  nn::UnetOptions options{.num_classes = net.at("classes").get<int64_t>()};
  options.swin.image_size = numbers("size");
  options.swin.in_channels = net.at("channels").get<int64_t>();
  options.nnunet = {.features_per_stage = numbers("features_per_stage"),
                    .kernel_sizes = joined_pairs(net.at("kernel_sizes")),
                    .strides = joined_pairs(net.at("strides")),
                    .n_conv_per_stage = numbers("n_conv_per_stage"),
                    .n_conv_per_stage_decoder = numbers("n_conv_per_stage_decoder"),
                    .conv_bias = net.at("conv_bias").get<bool>()};
  return options;
}

}  // namespace vmae::test
