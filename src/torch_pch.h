#pragma once
// The one precompiled header: what nearly every file of the library `vmae` includes. Files
// still include what they use. None of our own headers: they lie at other paths in other
// clones, and with one ccache for several `#pragma once` would meet the same header twice.
#include <torch/torch.h>

#include <nlohmann/json.hpp>
