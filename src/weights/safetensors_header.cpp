// {"__metadata__": {"key": "text", ...}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}
// Read event by event, so that duplicate names are seen, the order is kept and nothing nests deeper than this grammar.
#include "safetensors_header.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <unordered_set>

#include "input_file.h"
#include "vmae/core/error.h"

namespace vmae::weights {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference implementation
constexpr size_t kMaxDimensions = 64;
constexpr const char* kMetadataKey = "__metadata__";

class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderReader(Header& header, const std::filesystem::path& path) : header_(header), path_(path) {}

  bool start_object(size_t) override {
    if (in_array_ || depth_ >= 2) unexpected("an object");
    ++depth_;
    if (depth_ == 2 && name_ != kMetadataKey) {
      header_.entries.push_back({.name = name_});
      has_dtype_ = has_shape_ = has_offsets_ = false;
    }
    return true;
  }

  bool key(std::string& text) override {
    if (depth_ == 1) {
      name_ = text;
      if (!names_.insert(text).second) broken(concat("the header names \"", text, "\" twice"));
    } else {
      key_ = text;
    }
    return true;
  }

  bool end_object() override {
    if (depth_ == 2 && name_ != kMetadataKey && !(has_dtype_ && has_shape_ && has_offsets_)) {
      broken(concat("tensor \"", name_, "\" needs dtype, shape and data_offsets in the header"));
    }
    --depth_;
    return true;
  }

  bool string(std::string& text) override {
    if (depth_ == 2 && name_ == kMetadataKey) {
      if (!header_.metadata.emplace(key_, text).second) broken(concat("the metadata names \"", key_, "\" twice"));
      return true;
    }
    if (depth_ != 2 || in_array_ || key_ != "dtype" || has_dtype_) unexpected("a string");
    const Dtype* dtype = find_dtype(&Dtype::safetensors, text);
    if (dtype == nullptr) broken(concat("tensor \"", name_, "\" has dtype \"", text, "\", which vmae cannot read"));
    header_.entries.back().tensor.dtype = dtype;
    has_dtype_ = true;
    return true;
  }

  bool start_array(size_t) override {
    const bool is_shape = key_ == "shape" && !has_shape_;
    if (depth_ != 2 || in_array_ || name_ == kMetadataKey || !(is_shape || (key_ == "data_offsets" && !has_offsets_)))
      unexpected("a list");
    in_array_ = true;
    offsets_.clear();
    return true;
  }

  bool number_unsigned(uint64_t value) override {
    if (!in_array_) unexpected("a number");
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) unexpected(concat("the number ", value));
    if (key_ == "shape") {
      auto& shape = header_.entries.back().tensor.shape;
      if (shape.size() == kMaxDimensions)
        broken(concat("tensor \"", name_, "\" has more than ", kMaxDimensions, " dimensions"));
      shape.push_back(static_cast<int64_t>(value));
    } else if (offsets_.size() < 3) {
      offsets_.push_back(value);
    }
    return true;
  }

  bool end_array() override {
    in_array_ = false;
    if (key_ == "shape") {
      has_shape_ = true;
      return true;
    }
    if (offsets_.size() != 2 || offsets_[0] > offsets_[1])
      broken(concat("tensor \"", name_, "\": data_offsets must be [begin, end]"));
    header_.entries.back().begin = offsets_[0];
    header_.entries.back().end = offsets_[1];
    has_offsets_ = true;
    return true;
  }

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("true or false"); }
  bool number_integer(int64_t value) override { return unexpected(concat("the number ", value)); }
  bool number_float(double, const std::string& text) override { return unexpected(concat("the number ", text)); }
  bool binary(nlohmann::json::binary_t&) override { return unexpected("bytes"); }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    broken(concat("the header is no JSON at byte ", position));
  }

 private:
  [[noreturn]] void broken(const std::string& what) const {
    fail(path_, concat(what, ": the file is damaged or not safetensors"));
  }
  [[noreturn]] bool unexpected(const std::string& what) const {
    broken(concat("unexpected ", what, " in the header", name_.empty() ? "" : concat(" at \"", name_, "\"")));
  }

  Header& header_;
  const std::filesystem::path& path_;
  std::unordered_set<std::string> names_;
  std::string name_, key_;  // at depth 1 and 2
  int depth_ = 0;
  bool in_array_ = false, has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
  std::vector<uint64_t> offsets_;
};

void check_size(const HeaderEntry& entry, const std::filesystem::path& path) {
  // torch also multiplies max(1, size) for strides
  int64_t with_ones = entry.tensor.dtype->bytes, bytes = with_ones;
  for (const int64_t size : entry.tensor.shape) {
    if (__builtin_mul_overflow(with_ones, std::max<int64_t>(size, 1), &with_ones))
      fail(path, concat("tensor \"", entry.name, "\" has an impossible shape"));
    bytes *= size;
  }
  if (static_cast<uint64_t>(bytes) != entry.end - entry.begin) {
    fail(path, concat("tensor \"", entry.name, "\" needs ", bytes, " bytes by its shape and dtype, but has ",
                      entry.end - entry.begin));
  }
}

std::string with_commas(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

std::string read_header_text(const InputFile& file, const std::filesystem::path& path) {
  if (file.size() < kPrefixBytes)
    fail(path, concat("truncated: ", file.size(), " bytes are too few for a safetensors file"));
  uint64_t length = 0;
  file.read(0, &length, sizeof length);
  if (length > kMaxHeaderBytes)
    fail(path, concat("is not safetensors (its header would be ", with_commas(length), " bytes long)"));
  if (length > file.size() - kPrefixBytes) {
    fail(path, concat("truncated: ", with_commas(file.size()), " bytes, but the header alone needs ",
                      with_commas(kPrefixBytes + length)));
  }
  std::string json(length, '\0');
  file.read(kPrefixBytes, json.data(), length);
  return json;
}

Header parse_header(const std::string& json, const std::filesystem::path& path) {
  Header header{.text = json};
  HeaderReader reader(header, path);
  nlohmann::json::sax_parse(header.text, &reader);
  for (const HeaderEntry& entry : header.entries) check_size(entry, path);

  header.by_offset.resize(header.entries.size());
  std::iota(header.by_offset.begin(), header.by_offset.end(), size_t{0});
  std::stable_sort(header.by_offset.begin(), header.by_offset.end(), [&](size_t a, size_t b) {
    return std::pair(header.entries[a].begin, header.entries[a].end) <
           std::pair(header.entries[b].begin, header.entries[b].end);
  });
  for (const size_t index : header.by_offset) {
    const HeaderEntry& entry = header.entries[index];
    if (entry.begin != header.buffer_size) {
      fail(path, concat("tensor \"", entry.name, "\" starts at byte ", entry.begin,
                        " of the buffer, but the one before ends at ", header.buffer_size));
    }
    header.buffer_size = entry.end;
  }
  return header;
}

void check_file_size(const Header& header, uint64_t size, const std::filesystem::path& path) {
  const uint64_t expected = kPrefixBytes + header.text.size() + header.buffer_size;
  if (size < expected) fail(path, concat("truncated: ", with_commas(size), " of ", with_commas(expected), " bytes"));
  if (size > expected)
    fail(path, concat("has ", with_commas(size - expected), " bytes after its last tensor: the file is damaged"));
}

}  // namespace

Header read_header(const InputFile& file, const std::filesystem::path& path) {
  Header header = parse_header(read_header_text(file, path), path);
  check_file_size(header, file.size(), path);
  return header;
}

}  // namespace vmae::weights
