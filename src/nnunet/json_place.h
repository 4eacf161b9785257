#pragma once
// A value in a JSON file, and where it stands there, for messages.
#include <array>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace vmae::nnunet {

using Json = nlohmann::ordered_json;

constexpr const char* kHintOfNnUnet = "give the file as nnU-Net or vmae wrote it";

// Throw Error(data) naming the file: can't be read, no JSON, no object.
Json read_json(const std::filesystem::path& file);
Json parse_json(const std::string& text, const std::filesystem::path& file);

// All of them throw Error(data) naming file and key where the value is of another kind.
class JsonPlace {
 public:
  JsonPlace(const std::filesystem::path& file, const Json& json) : file_(&file), json_(&json) {}

  JsonPlace at(const std::string& key) const;  // must be there
  bool has(const std::string& key) const;
  std::vector<JsonPlace> list() const;
  std::vector<JsonPlace> list(size_t size) const;  // of so many
  const Json& json() const { return *json_; }

  std::string text() const;
  int64_t integer(int64_t low) const;  // from `low` to 2^31
  double number() const;
  bool boolean() const;

  template <class T, size_t n, class Read>
  std::array<T, n> array(const Read& read) const {
    const std::vector<JsonPlace> places = list(n);
    std::array<T, n> values{};
    for (size_t i = 0; i < n; ++i) values[i] = read(places[i]);
    return values;
  }
  template <class Read>
  auto vector(const Read& read) const {
    std::vector<decltype(read(*this))> values;
    for (const JsonPlace& place : list()) values.push_back(read(place));
    return values;
  }

  // "... is VALUE; `what`"
  [[noreturn]] void fail(const std::string& what) const;
  // What to do, in the errors of this place and those below it.
  JsonPlace with_hint(const std::string& hint) const;

 private:
  JsonPlace below(const std::string& key, const Json& json) const;

  const std::filesystem::path* file_;
  const Json* json_;
  std::string key_, hint_ = kHintOfNnUnet;
};

}  // namespace vmae::nnunet
