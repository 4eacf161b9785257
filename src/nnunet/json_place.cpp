#include "json_place.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/json_number.h"
#include "vmae/core/json_text.h"

namespace vmae::nnunet {

Json read_json(const std::filesystem::path& file) { return parse_json(read_file(file), file); }

Json parse_json(const std::string& text, const std::filesystem::path& file) {
  if (is_deep_json(text)) fail_file(file, "nests too deep for a file of nnU-Net", kHintOfNnUnet);
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) fail_file(file, "is not JSON", kHintOfNnUnet);
  if (!json.is_object()) fail_file(file, "is not JSON of nnU-Net: it holds no object ({...})", kHintOfNnUnet);
  return json;
}

void JsonPlace::fail(const std::string& what) const {
  constexpr size_t kShown = 60;
  const std::string value = json_text(*json_), shown = value.size() > kShown ? value.substr(0, kShown) + "..." : value;
  fail_file(*file_, concat("\"", key_, "\" is ", shown, "; ", what), hint_);
}

JsonPlace JsonPlace::with_hint(const std::string& hint) const {
  JsonPlace place = *this;
  place.hint_ = hint;
  return place;
}

JsonPlace JsonPlace::below(const std::string& key, const Json& json) const {
  JsonPlace place(*file_, json);
  place.key_ = key_.empty() ? key : key_ + "." + key;
  place.hint_ = hint_;
  return place;
}

JsonPlace JsonPlace::at(const std::string& key) const {
  if (!json_->is_object()) fail("meant is an object");
  if (!json_->contains(key)) fail_file(*file_, concat("has no \"", below(key, *json_).key_, "\""), hint_);
  return below(key, json_->at(key));
}

bool JsonPlace::has(const std::string& key) const { return json_->is_object() && json_->contains(key); }

std::vector<JsonPlace> JsonPlace::list() const {
  if (!json_->is_array()) fail("meant is a list");
  std::vector<JsonPlace> places;
  for (const Json& one : *json_) places.push_back(below(std::to_string(places.size()), one));
  return places;
}

std::vector<JsonPlace> JsonPlace::list(size_t size) const {
  std::vector<JsonPlace> places = list();
  if (places.size() != size) fail(concat("meant is a list of ", size));
  return places;
}

std::string JsonPlace::text() const {
  if (!json_->is_string()) fail("meant is a text");
  return json_->get<std::string>();
}

int64_t JsonPlace::integer(int64_t low) const {
  constexpr int64_t kMost = int64_t{1} << 31;  // sums and products of a few stay exact
  const auto value = io::whole_number(*json_);
  if (!value || *value < low || *value > kMost) fail(concat("meant is a whole number from ", low, " to 2^31"));
  return *value;
}

double JsonPlace::number() const {
  if (!json_->is_number() || !std::isfinite(json_->get<double>())) fail("meant is a number");
  return json_->get<double>();
}

bool JsonPlace::boolean() const {
  if (!json_->is_boolean()) fail("meant is true or false");
  return json_->get<bool>();
}

}  // namespace vmae::nnunet
