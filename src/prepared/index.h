#pragma once
// index.json of a prepared dataset.
#include <filesystem>
#include <string>

#include "vmae/prepared/prepared.h"

namespace vmae::io {

constexpr const char* kIndexName = "index.json";
constexpr const char* kFormatName = "vmae-prepared";
constexpr int kFormatVersion = 1;

PreparedInfo parse_index(const std::string& text, const std::string& name_in_messages);  // throws Error(data)
PreparedInfo read_index(const std::filesystem::path& file);
std::string index_json(const PreparedInfo& info);

// SHA-256 over `cases_digest` (of all case records, which hold the
// digests of their items) and the index without its own digest.
std::string dataset_digest(const std::string& cases_digest, PreparedInfo info);

}  // namespace vmae::io
