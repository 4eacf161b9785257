#pragma once
// Initial weights (method.md: "Init"). Draws from torch's default CPU generator.
#include <torch/nn/module.h>

namespace vmae::nn {

enum class LinearInit { xavier_uniform, trunc_normal };  // pretraining; downstream models

// Every Linear by the rule with bias 0, every LayerNorm 1 and 0, every relative
// position bias table trunc_normal(0.02); convolutions keep torch's default.
void init_weights(torch::nn::Module& module, LinearInit rule);

// The frozen sine-cosine table that the Python reference keeps
// in its checkpoints and never adds: (1, rows * columns, dim).
at::Tensor sincos_position_embedding(int64_t dim, int64_t rows, int64_t columns);

}  // namespace vmae::nn
