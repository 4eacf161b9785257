#pragma once
// The golden numbers of tests/golden (its README): weights and images are drawn
// anew, outputs are read. tests/golden/golden.py does the same in Python.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "support/source_path.h"
#include "vmae/nn/init.h"
#include "vmae/weights/weights.h"

namespace vmae::test {

// How near an independent implementation comes (README.md); of gradients as a share of the largest value.
constexpr double kForwardTolerance = 2e-5, kGradientTolerance = 1e-4;

// What the golden files keep of a tensor: of a large one every eleventh number.
inline at::Tensor sampled(const at::Tensor& tensor) {
  constexpr int64_t stride = 11, large = 4096;
  return tensor.numel() > large ? tensor.flatten().slice(0, 0, std::nullopt, stride) : tensor;
}

// What the reference computed, as sampled() leaves it.
inline weights::TensorFile golden(const std::string& name) {
  return weights::read_safetensors(source_path("tests/golden/" + name + ".safetensors"));
}

// An image that the reference was given.
inline at::Tensor golden_image(uint64_t seed, at::IntArrayRef shape) {
  return at::randn(shape, at::detail::createCPUGenerator(seed));
}

namespace golden_detail {

using Tensors = std::map<std::string, at::Tensor>;

inline Tensors draw(const nlohmann::json& draws, const at::Generator& generator) {
  Tensors drawn;
  for (const auto& one : draws) {
    at::Tensor numbers = at::empty(one[1].get<std::vector<int64_t>>());
    const double first = one[3][0], second = one[3][1];
    one[2] == "normal" ? numbers.normal_(first, second, generator) : numbers.uniform_(first, second, generator);
    drawn[one[0].get<std::string>()] = numbers;
  }
  return drawn;
}

inline at::Tensor relative_position_index(int64_t window) {
  const auto difference = [&](const at::Tensor& c) {
    return c.flatten().unsqueeze(1) - c.flatten().unsqueeze(0) + window - 1;
  };
  const auto grid = at::meshgrid({at::arange(window), at::arange(window)}, "ij");
  return difference(grid[0]) * (2 * window - 1) + difference(grid[1]);
}

}  // namespace golden_detail

// The weights of mae_tiny, mae_tiny_second, unet_tiny or classifier_tiny.
inline weights::TensorFile golden_weights(const std::string& name) {
  std::ifstream file(source_path("tests/golden/weights.json"));
  const nlohmann::json recipes = nlohmann::json::parse(file), recipe = recipes.at("weights").at(name),
                       model = recipes.at("models").at(recipe.at("model").get<std::string>());
  at::Generator generator = at::detail::createCPUGenerator(recipe.at("seed").get<uint64_t>());
  golden_detail::draw(recipe.at("first"), generator);
  golden_detail::Tensors drawn = golden_detail::draw(model.at("draws"), generator);
  generator = at::detail::createCPUGenerator(recipe.at("perturbation_seed").get<uint64_t>());
  for (const auto& parameter : model.at("parameters")) {
    const std::string key = parameter[0];
    const auto shape = parameter[1].get<std::vector<int64_t>>();
    const at::Tensor initial = parameter[2].is_null() ? drawn.at(key) : at::full(shape, parameter[2].get<double>());
    drawn[key] = initial + (shape.size() == 1 ? 0.1 : 0.02) * at::randn(shape, generator);
  }
  weights::TensorFile weights;
  for (const std::string key : model.at("keys")) {
    const bool is_index = key.ends_with("relative_position_index");
    const at::Tensor computed =
        is_index ? golden_detail::relative_position_index(7) : nn::sincos_position_embedding(24, 56, 56);
    weights.tensors.emplace_back(key, drawn.contains(key) ? drawn.at(key) : computed);
  }
  return weights;
}

// Weights of a size at which every part matters (transunet_oracle.py: drawn).
inline weights::TensorFile drawn_weights(const torch::nn::Module& module, uint64_t seed) {
  weights::NamedTensors state = weights::state_dict(module);
  std::sort(state.begin(), state.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  at::Generator generator = at::detail::createCPUGenerator(seed);
  weights::TensorFile file;
  for (const auto& [key, tensor] : state) {
    if (tensor.dim() == 0) {
      file.tensors.emplace_back(key, at::zeros_like(tensor));
      continue;
    }
    at::Tensor drawn = at::randn(tensor.sizes(), generator);
    if (key.ends_with("running_var"))
      drawn = 1 + 0.2 * drawn.abs();
    else if (tensor.dim() == 1)
      drawn = 0.1 * drawn + (key.ends_with("weight") ? 1 : 0);
    else
      drawn = drawn / std::sqrt(static_cast<double>(tensor.numel() / tensor.size(0)));
    file.tensors.emplace_back(key, drawn);
  }
  return file;
}

}  // namespace vmae::test
