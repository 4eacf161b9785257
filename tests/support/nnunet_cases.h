#pragma once
// The made-up cases of tests/golden/make_nnunet_loader.py, and what nnU-Net says of them.
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/source_path.h"
#include "vmae/nnunet/preprocess.h"

namespace vmae::test {

using OrderedJson = nlohmann::ordered_json;  // the order of labels matters

inline OrderedJson nnunet_loader_rows(const std::string& key) {
  std::ifstream file(source_path("tests/golden/nnunet_loader.json"));
  return OrderedJson::parse(file).at(key);
}

inline uint32_t hashed(uint64_t i) { return static_cast<uint32_t>(i * 2654435761U) >> 16; }

inline nnunet::PreprocessedCase hashed_case(const OrderedJson& row, size_t num_channels = 1) {
  nnunet::PreprocessedCase made;
  made.shape = row.at("shape");
  const auto tables = row.at("tables").get<std::vector<std::vector<int16_t>>>();
  const auto in_slice = static_cast<size_t>(made.shape[1] * made.shape[2]);
  made.labels.resize(static_cast<size_t>(made.shape[0]) * in_slice);
  for (size_t i = 0; i < made.labels.size(); ++i) {
    const std::vector<int16_t>& table = tables[i / in_slice % tables.size()];
    made.labels[i] = table[hashed(i) % table.size()];
  }
  made.channels.resize(num_channels);
  for (size_t channel = 0; channel < num_channels; ++channel) {
    for (size_t i = 0; i < made.labels.size(); ++i)
      made.channels[channel].push_back(static_cast<float>(hashed(i + 1000 * channel)) / 8);
  }
  return made;
}

}  // namespace vmae::test
