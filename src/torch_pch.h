#pragma once
// The one precompiled header: what nearly every file of the library `vmae` includes. Files still include what they use.
#include <torch/torch.h>

#include <nlohmann/json.hpp>

#include "vmae/core/error.h"
#include "vmae/core/text.h"
