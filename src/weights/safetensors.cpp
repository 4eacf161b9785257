// u64 little-endian header length N | N bytes of JSON, padded with spaces to a multiple of 8 | buffer:
// the tensors, row-major, in the header's offsets Our files carry "__metadata__": {"checksum":
// "crc32c:xxxxxxxx"}; the sum is over the whole file with "00000000" in the place of those digits.
#include "vmae/weights/safetensors.h"

#include <torch/types.h>

#include <bit>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>

#include "safetensors_header.h"
#include "scalar_type.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/crc32c.h"
#include "vmae/core/json_text.h"

namespace vmae::weights {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie in memory");

constexpr std::string_view kChecksumField = R"("checksum":"crc32c:)";
constexpr std::string_view kNoDigits = "00000000";

// Where the checksum's digits are in the JSON text, if it has any. An
// unescaped quote after { or , can only open a key, so nothing else matches.
std::optional<size_t> find_digits(std::string_view json) {
  for (size_t at = json.find(kChecksumField); at != std::string_view::npos; at = json.find(kChecksumField, at + 1)) {
    const size_t digits = at + kChecksumField.size();
    if (at > 0 && (json[at - 1] == '{' || json[at - 1] == ',') && digits + kNoDigits.size() < json.size() &&
        json[digits + kNoDigits.size()] == '"') {
      return digits;
    }
  }
  return std::nullopt;
}

std::string hex(uint32_t sum) {
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", sum);
  return digits;
}

void verify_checksum(size_t digits, const Header& header, const TensorFile& file, const std::filesystem::path& path) {
  std::string blank = header.text;
  blank.replace(digits, kNoDigits.size(), kNoDigits);
  const uint64_t length = blank.size();
  uint32_t sum = crc32c(blank.data(), blank.size(), crc32c(&length, sizeof length));
  for (const size_t index : header.by_offset) {
    const at::Tensor& tensor = file.tensors[index].second;
    if (tensor.nbytes() > 0) sum = crc32c(tensor.const_data_ptr(), tensor.nbytes(), sum);
  }
  const std::string stored = header.text.substr(digits, kNoDigits.size());
  if (hex(sum) != stored) {
    fail(path, concat("damaged: its checksum is ", hex(sum), ", it should be ", stored),
         "use another checkpoint of the run; if another program wrote this file, it must not copy the metadata entry "
         "\"checksum\"");
  }
}

TensorFile read_tensors(const std::filesystem::path& path) {
  const InputFile input(path);
  Header header = read_header(input, path);
  TensorFile file;
  for (const HeaderEntry& entry : header.entries) {
    at::Tensor tensor = at::empty(entry.tensor.shape, at::TensorOptions(scalar_type(*entry.tensor.dtype)));
    input.read(kPrefixBytes + header.text.size() + entry.begin, tensor.data_ptr(), entry.end - entry.begin);
    file.tensors.emplace_back(entry.name, std::move(tensor));
  }
  if (const auto digits = find_digits(header.text)) verify_checksum(*digits, header, file, path);
  file.metadata = std::move(header.metadata);
  return file;
}

// The header's text, with the checksum still 00000000.
std::string header_text(const NamedTensors& tensors, Metadata metadata, const std::filesystem::path& path) {
  metadata["checksum"] = concat("crc32c:", kNoDigits);
  std::string json = R"({"__metadata__":)" + json_text(nlohmann::json(metadata));
  std::unordered_set<std::string> names{"__metadata__"};
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    if (!names.insert(name).second) fail(path, concat("cannot be written: two tensors are called \"", name, "\""));
    const Dtype* dtype =
        tensor.defined() && tensor.layout() == at::kStrided ? find_dtype(tensor.scalar_type()) : nullptr;
    if (dtype == nullptr || dtype->safetensors.empty())
      fail(path, concat("cannot be written: safetensors cannot hold tensor \"", name, "\" (", tensor.toString(), ")"));
    const uint64_t end = offset + tensor.nbytes();
    const nlohmann::json entry{
        {"dtype", dtype->safetensors}, {"shape", tensor.sizes().vec()}, {"data_offsets", {offset, end}}};
    json += "," + nlohmann::json(name).dump() + ":" + entry.dump();
    offset = end;
  }
  json += '}';
  json.resize((json.size() + 7) / 8 * 8, ' ');
  return json;
}

void write_tensors(const std::filesystem::path& path, const NamedTensors& tensors, const Metadata& metadata) {
  const std::string json = header_text(tensors, metadata, path);
  const uint64_t length = json.size();
  AtomicFile file(path);
  uint32_t sum = 0;
  const auto append = [&](const void* bytes, size_t size) {
    file.write(bytes, size);
    sum = crc32c(bytes, size, sum);
  };
  append(&length, sizeof length);
  append(json.data(), json.size());
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor flat = tensor.detach().to(at::kCPU).contiguous();
    if (flat.nbytes() > 0) append(flat.const_data_ptr(), flat.nbytes());
  }
  file.write_at(kPrefixBytes + *find_digits(json), hex(sum).data(), kNoDigits.size());
  file.commit();
}

}  // namespace

const at::Tensor* TensorFile::find(const std::string& name) const {
  for (const auto& [key, tensor] : tensors) {
    if (key == name) return &tensor;
  }
  return nullptr;
}

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors, const Metadata& metadata) {
  guarded(path, [&] { write_tensors(path, tensors, metadata); });
}

TensorFile read_safetensors(const std::filesystem::path& path) {
  return guarded(path, [&] { return read_tensors(path); });
}

}  // namespace vmae::weights
