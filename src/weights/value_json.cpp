#include "value_json.h"

#include <nlohmann/json.hpp>
#include <string>

#include "input_file.h"

namespace vmae::weights {
namespace {

using Kind = Value::Kind;
using Json = nlohmann::ordered_json;

constexpr size_t kDeepest = 100;
// A list within itself has no end, and one of lists of the same list nearly none.
constexpr size_t kMostValues = 500'000;

class JsonWriter {
 public:
  explicit JsonWriter(const std::filesystem::path& path) : path_(path) {}

  Json write(const Value& value, size_t depth = 0) {
    if (depth > kDeepest || ++written_ > kMostValues)
      fail(path_, "a dict in it nests too deeply, or names the same values again and again");
    switch (value.kind) {
      case Kind::boolean:
        return value.integer != 0;
      case Kind::integer:
        return value.integer;
      case Kind::real:
        return value.real;
      case Kind::text:
        return value.text;
      case Kind::list:
      case Kind::tuple:
      case Kind::set:
        return write_list(value, depth);
      case Kind::dict:
        return write_dict(value, depth);
      default:
        return nullptr;
    }
  }

 private:
  Json write_list(const Value& value, size_t depth) {
    Json list = Json::array();
    for (const Value* item : value.items) list.push_back(write(*item, depth + 1));
    return list;
  }

  Json write_dict(const Value& value, size_t depth) {
    Json dict = Json::object();
    for (const auto& [key, item] : value.entries) {
      if (!has_form(*item)) continue;
      if (key->kind == Kind::text) dict[key->text] = write(*item, depth + 1);
      if (key->kind == Kind::integer) dict[std::to_string(key->integer)] = write(*item, depth + 1);
    }
    return dict;
  }

  static bool has_form(const Value& value) {
    return value.kind <= Kind::dict && value.kind != Kind::bytes;  // behind dict come tensors, globals, objects
  }

  const std::filesystem::path& path_;
  size_t written_ = 0;
};

}  // namespace

Json json_of(const Value& value, const std::filesystem::path& path) { return JsonWriter(path).write(value); }

}  // namespace vmae::weights
