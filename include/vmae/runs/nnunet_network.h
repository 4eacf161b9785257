#pragma once
// The network of an nnU-Net's plan, as options of ours.
#include <cstdint>

#include "vmae/nn/model_options.h"
#include "vmae/nnunet/plans.h"

namespace vmae::run {

// Of the configuration 2d: the size of its patches, its channels, and all keys of NnUnetOptions. num_heads: outputs,
// Labels::num_heads() (nnunet/labels.h).
void set_network(const nnunet::Plans& plans, int64_t num_heads, nn::UnetOptions& net);

}  // namespace vmae::run
