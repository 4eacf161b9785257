#pragma once
#include <filesystem>
#include <nlohmann/json_fwd.hpp>

#include "vmae/weights/unpickle.h"

namespace vmae::weights {

// As Python's json.dumps, in the order of the pickle: tuples are lists, numbers as keys are text. What JSON has no form
// for (objects, tensors, bytes) is left out of a dict and null in a list. Throws Error(checkpoint) naming the
// file where it nests too deeply, or names the same values again and again.
nlohmann::ordered_json json_of(const Value& value, const std::filesystem::path& path);

}  // namespace vmae::weights
