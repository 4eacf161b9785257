#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <string>

namespace vmae::nn {

// A module that only gives the keys of those within it their prefix.
inline std::shared_ptr<torch::nn::Module> module_group(torch::nn::Module& parent, const std::string& name) {
  return parent.register_module(name, std::make_shared<torch::nn::Module>());
}

}  // namespace vmae::nn
