// A .pth file of torch >= 1.6 is an uncompressed zip whose records lie in one folder: data.pkl
// (the pickled dict), data/<i> (the bytes of storage i), byteorder ("little"), version. Tensors in
// the pickle name a storage, a dtype, an offset, sizes and strides; several may share a storage.
#include "pth_reader.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "input_file.h"
#include "nnunet_facts.h"
#include "vmae/core/json_text.h"
#include "vmae/core/text.h"

namespace vmae::weights {
namespace {

using Kind = Value::Kind;

// a tensor with strides of 0 may be larger than its storage, but not without limit
constexpr int64_t kMaxExpandedBytes = int64_t{1} << 30;
constexpr size_t kMaxMetadata = 4096;  // entries, and bytes of one

std::optional<std::string> plain_text(const Value& value, bool allow_lists = true) {
  switch (value.kind) {
    case Kind::boolean:
      return value.integer ? "true" : "false";
    case Kind::integer:
      return std::to_string(value.integer);
    case Kind::real: {
      char digits[32];
      // the shortest that reads back the same
      return std::string(digits, std::to_chars(digits, digits + sizeof digits, value.real).ptr);
    }
    case Kind::text:
      return value.text.size() <= kMaxMetadata ? std::optional(value.text) : std::nullopt;
    case Kind::list:
    case Kind::tuple: {
      if (!allow_lists || value.items.size() > 16) return std::nullopt;
      std::vector<std::string> parts;
      for (const Value* item : value.items) {
        const auto part = plain_text(*item, false);
        if (!part) return std::nullopt;
        parts.push_back(*part);
      }
      return "[" + join(parts, ", ") + "]";
    }
    default:
      return std::nullopt;
  }
}

// Numbers and strings of `dict`, and of the dicts and Namespaces directly in it; everything else is left out.
void collect_metadata(const Value& dict, const Value* weights, const std::string& prefix, Metadata& metadata) {
  for (const auto& [key, value] : dict.entries) {
    if (key->kind != Kind::text || key->text.size() > kMaxMetadata || metadata.size() == kMaxMetadata) continue;
    if (const auto text = plain_text(*value)) metadata[prefix + key->text] = *text;
    if (value->kind == Kind::dict && value != weights && prefix.empty())
      collect_metadata(*value, weights, key->text + ".", metadata);
  }
}

const Value& find_weights(const Value& root, const std::filesystem::path& path) {
  const char* hint = "save the weights alone in Python: torch.save(model.state_dict(), path)";
  if (root.kind == Kind::opaque)
    fail(path, concat("holds a pickled object (", root.text, "), not a dict of weights"), hint);
  if (root.kind != Kind::dict) fail(path, "holds no dict of weights", hint);
  for (const char* key : {"model", "state_dict", "model_state_dict", kNnUnetWeights}) {
    const Value* inner = root.find(key);
    if (inner == nullptr || inner->kind == Kind::tensor) continue;
    if (inner->kind == Kind::dict) return *inner;
    const std::string found = inner->kind == Kind::opaque ? concat(" but a pickled object (", inner->text, ")") : "";
    fail(path, concat("\"", key, "\" in it is no dict of weights", found), hint);
  }
  return root;
}

std::unique_ptr<Pickle> unpickle(const std::string& bytes, const std::filesystem::path& path) {
  try {
    return std::make_unique<Pickle>(bytes);
  } catch (const Error& error) {
    fail(path, error.what());
  }
}

// Before libzip sees it, which would call anything else a damaged zip.
uint64_t size_of_zip(const std::filesystem::path& path) {
  const InputFile input(path);
  const std::string magic = input.head(4);
  if (magic.starts_with("\x80\x02")) fail(path, "was written by torch < 1.6, whose format vmae does not read", kResave);
  if (magic != "PK\x03\x04") fail(path, "is no .pth file of torch >= 1.6 (not a zip)", kResave);
  return input.size();
}

}  // namespace

PthReader::PthReader(const std::filesystem::path& path) : path_(path), unread_(size_of_zip(path)), zip_(path) {
  const std::string first = zip_.count() == 0 ? "" : zip_.name(0);
  folder_ = first.substr(0, first.find('/') + 1);
  const std::optional<uint64_t> pickle = find("data.pkl"), order = find("byteorder");
  if (!pickle) fail(path, "is a zip file, but has no data.pkl: it was not written by torch.save");
  if (order && read(*order) != "little") fail(path, "was written on a big-endian machine");
  pickle_ = unpickle(read(*pickle), path);
  const Value &root = pickle_->root(), &weights = find_weights(root, path);
  add_tensors(weights);
  collect_metadata(root, &weights, "", metadata_);
  add_nnunet_facts(root, path, metadata_);
  add_own_metadata();
}

void PthReader::read_storage(const std::string& storage, void* to) const {
  ZipEntry entry = zip_.entry(storages_.at(storage).record);
  entry.read(to, entry.size());
  entry.expect_end();
}

ZipEntry PthReader::open(uint64_t record) {
  ZipEntry entry = zip_.entry(record);
  if (entry.size() > unread_) entry.refuse(concat("claims ", entry.size(), " bytes, more than the file has"));
  unread_ -= entry.size();
  return entry;
}

std::string PthReader::read(uint64_t record) {
  ZipEntry entry = open(record);
  std::string bytes = entry.read(entry.size());
  entry.expect_end();
  return bytes;
}

void PthReader::add_tensors(const Value& weights) {
  std::unordered_set<std::string> names;
  for (const auto& [key, value] : weights.entries) {
    const std::string name = key->kind == Kind::text ? key->text : "a key that is no text";
    if (value->kind == Kind::opaque)
      fail(path_,
           concat("the weights need \"", name, "\", a Python object (", value->text, ") that vmae does not load"));
    if (value->kind != Kind::tensor || key->kind != Kind::text) continue;
    if (!names.insert(name).second) fail(path_, concat("two tensors are called \"", name, "\""));
    const PickledTensor& place = *value->tensor;
    const Dtype* dtype = find_dtype(&Dtype::name, place.dtype);
    if (dtype == nullptr) fail(path_, concat("tensor \"", name, "\" has a dtype that vmae cannot read: ", place.dtype));
    const auto [storage, is_new] = storages_.try_emplace(place.storage);
    if (is_new) {
      const std::optional<uint64_t> record = find("data/" + place.storage);
      if (!record) fail(path_, concat("tensor \"", name, "\" lies in data/", place.storage, ", which is not there"));
      storage->second = {*record, open(*record).size()};
    }
    tensors_.push_back({name, &place, dtype});
    check_bounds(tensors_.back());
  }
  if (tensors_.empty())
    fail(path_,
         "holds no tensors: neither in the dict itself nor under model, state_dict, model_state_dict or "
         "network_weights");
}

// What write_pth() left beside the weights; nothing of other programs' files.
void PthReader::add_own_metadata() {
  const std::optional<uint64_t> record = find(kPthMetadata);
  if (!record) return;
  const std::string text = read(*record);
  const auto json =
      is_deep_json(text) ? nlohmann::json() : nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) fail(path_, concat("its record ", kPthMetadata, " is no JSON object: it is damaged"));
  for (const auto& [key, value] : json.items()) {
    if (value.is_string()) metadata_[key] = value.get<std::string>();
  }
}

void PthReader::check_bounds(const Entry& entry) const {
  const PickledTensor& place = *entry.place;
  const auto stored = static_cast<int64_t>(storage_bytes(place.storage));
  bool is_wrong = place.sizes.size() != place.strides.size() || place.offset < 0;
  bool is_empty = false;
  // the last element's index; the size if it were contiguous
  int64_t last = place.offset, bytes = entry.dtype->bytes;
  for (size_t i = 0; i < place.sizes.size() && !is_wrong; ++i) {
    const int64_t size = place.sizes[i], stride = place.strides[i];
    int64_t span = 0;
    is_empty |= size == 0;
    is_wrong = size < 0 || stride < 0 || __builtin_mul_overflow(std::max<int64_t>(size, 1) - 1, stride, &span) ||
               __builtin_add_overflow(last, span, &last) ||
               __builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes);
  }
  const int64_t count = stored / entry.dtype->bytes;
  is_wrong = is_wrong || (is_empty ? place.offset > count : last >= count);
  if (is_wrong)
    fail(path_,
         concat("tensor \"", entry.name, "\" reaches beyond its storage of ", stored, " bytes: the file is damaged"));
  if (!is_empty && bytes > std::max(stored, kMaxExpandedBytes))
    fail(path_, concat("tensor \"", entry.name, "\" has an impossible shape"));
}

}  // namespace vmae::weights
