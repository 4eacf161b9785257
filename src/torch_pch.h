#pragma once
// The one precompiled header: what most files of the library `vmae` include, and no more, for what it
// holds costs each of them time, needed or not: so not torch/torch.h as a whole. Files still include what they
// use. None of our own headers: they lie at other paths in other clones, and with one ccache for several
// `#pragma once` would meet the same header twice.
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>
