#pragma once
// JSON as text. Names of files may hold bytes that are no UTF-8: they become the replacement character.
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace vmae {

// indent: as nlohmann::json::dump(); -1: all on one line.
std::string json_text(const nlohmann::json& json, int indent = -1);
std::string json_text(const nlohmann::ordered_json& json, int indent = -1);

}  // namespace vmae
