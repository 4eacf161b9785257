// A .pth file of torch >= 1.6 is an uncompressed zip whose records lie in one folder: data.pkl
// (the pickled dict), data/<i> (the bytes of storage i), byteorder ("little"), version. Tensors in
// the pickle name a storage, a dtype, an offset, sizes and strides; several may share a storage.
#include "vmae/weights/pth.h"

#include <ATen/core/Dict.h>
#include <ATen/core/ivalue.h>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/serialization/pickler.h>
#include <torch/types.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "input_file.h"
#include "nnunet_facts.h"
#include "pth_archive.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/json_text.h"
#include "vmae/weights/nnunet_checkpoint.h"
#include "vmae/weights/unpickle.h"

namespace vmae::weights {
namespace {

constexpr const char* kMetadata = "vmae.json";

using Kind = Value::Kind;

// a tensor with strides of 0 may be larger than its storage, but not without limit
constexpr int64_t kMaxExpandedBytes = int64_t{1} << 30;
constexpr size_t kMaxMetadata = 4096;  // entries, and bytes of one
constexpr const char* kResave = "re-save it in Python with torch >= 1.6: torch.save(torch.load(old), new)";

struct PthDtype {
  std::string_view name;
  at::ScalarType type;
  bool is_writable = true;  // has a storage class in Python
};
constexpr std::array<PthDtype, 17> kPthDtypes{{{"float32", at::kFloat},
                                               {"float64", at::kDouble},
                                               {"float16", at::kHalf},
                                               {"bfloat16", at::kBFloat16},
                                               {"int64", at::kLong},
                                               {"int32", at::kInt},
                                               {"int16", at::kShort},
                                               {"int8", at::kChar},
                                               {"uint8", at::kByte},
                                               {"bool", at::kBool},
                                               {"complex64", at::kComplexFloat},
                                               {"complex128", at::kComplexDouble},
                                               {"uint16", at::kUInt16, false},
                                               {"uint32", at::kUInt32, false},
                                               {"uint64", at::kUInt64, false},
                                               {"float8_e4m3fn", at::kFloat8_e4m3fn, false},
                                               {"float8_e5m2", at::kFloat8_e5m2, false}}};

// The records of the zip. No record may claim more bytes than the file has, nor all records read together.
class Archive {
 public:
  Archive(const std::filesystem::path& path, uint64_t file_size)
      : path_(path), unread_(file_size), reader_(open(path)) {
    if (!reader_->hasRecord("data.pkl"))
      fail(path, "is a zip file, but has no data.pkl: it was not written by torch.save");
    if (reader_->hasRecord("byteorder")) {
      const c10::Storage order = read("byteorder");
      if (std::string_view(static_cast<const char*>(order.data()), order.nbytes()) != "little")
        fail(path, "was written on a big-endian machine");
    }
  }

  // What write_pth() left beside the weights; nothing of other programs' files.
  void add_metadata(Metadata& metadata) {
    if (!reader_->hasRecord(kMetadata)) return;
    const c10::Storage bytes = read(kMetadata);
    const std::string_view text(static_cast<const char*>(bytes.data()), bytes.nbytes());
    const auto json =
        is_deep_json(text) ? nlohmann::json() : nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) fail(path_, concat("its record ", kMetadata, " is no JSON object: it is damaged"));
    for (const auto& [key, value] : json.items()) {
      if (value.is_string()) metadata[key] = value.get<std::string>();
    }
  }

  c10::Storage read(const std::string& record) {
    const size_t size = reader_->getRecordSize(record);
    if (size > unread_) fail(path_, concat("record ", record, " claims ", size, " bytes, more than the file has"));
    unread_ -= size;
    auto [bytes, got] = reader_->getRecord(record);
    return c10::Storage(c10::Storage::use_byte_size_t(), got, std::move(bytes), /*allocator=*/nullptr,
                        /*resizable=*/false);
  }

  at::Tensor tensor(const std::string& name, const PickledTensor& described) {
    const auto* dtype = std::find_if(kPthDtypes.begin(), kPthDtypes.end(),
                                     [&](const PthDtype& known) { return known.name == described.dtype; });
    if (dtype == kPthDtypes.end())
      fail(path_, concat("tensor \"", name, "\" has a dtype that vmae cannot read: ", described.dtype));
    const auto [found, is_new] = storages_.try_emplace(described.storage);
    if (is_new) found->second = read("data/" + described.storage);
    check_bounds(name, described, static_cast<int64_t>(c10::elementSize(dtype->type)),
                 static_cast<int64_t>(found->second.nbytes()));
    return at::empty({0}, at::TensorOptions(dtype->type))
        .set_(found->second, described.offset, described.sizes, described.strides);
  }

 private:
  static std::unique_ptr<caffe2::serialize::PyTorchStreamReader> open(const std::filesystem::path& path) {
    try {
      return std::make_unique<caffe2::serialize::PyTorchStreamReader>(path.string());
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception&) {  // its messages speak of its own source code
      fail(path, "is truncated, damaged or not written by torch.save: its zip directory cannot be read",
           "copy it again from where it came from");
    }
  }

  void check_bounds(const std::string& name, const PickledTensor& described, int64_t element, int64_t stored) const {
    bool is_wrong = described.sizes.size() != described.strides.size() || described.offset < 0;
    bool is_empty = false;
    int64_t last = described.offset, bytes = element;  // the last element's index; the size if it were contiguous
    for (size_t i = 0; i < described.sizes.size() && !is_wrong; ++i) {
      const int64_t size = described.sizes[i], stride = described.strides[i];
      int64_t span = 0;
      is_empty |= size == 0;
      is_wrong = size < 0 || stride < 0 || __builtin_mul_overflow(std::max<int64_t>(size, 1) - 1, stride, &span) ||
                 __builtin_add_overflow(last, span, &last) ||
                 __builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes);
    }
    is_wrong = is_wrong || (is_empty ? described.offset > stored / element : last >= stored / element);
    if (is_wrong)
      fail(path_,
           concat("tensor \"", name, "\" reaches beyond its storage of ", stored, " bytes: the file is damaged"));
    if (!is_empty && bytes > std::max(stored, kMaxExpandedBytes))
      fail(path_, concat("tensor \"", name, "\" has an impossible shape"));
  }

  const std::filesystem::path& path_;
  uint64_t unread_;
  std::unique_ptr<caffe2::serialize::PyTorchStreamReader> reader_;
  std::unordered_map<std::string, c10::Storage> storages_;
};

Pickle unpickle(const c10::Storage& bytes, const std::filesystem::path& path) {
  try {
    return Pickle(std::string_view(static_cast<const char*>(bytes.data()), bytes.nbytes()));
  } catch (const Error& error) {
    fail(path, error.what());
  }
}

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

TensorFile read_archive(const std::filesystem::path& path) {
  const InputFile input(path);
  const std::string magic = input.head(4);
  if (magic.starts_with("\x80\x02")) fail(path, "was written by torch < 1.6, whose format vmae does not read", kResave);
  if (magic != "PK\x03\x04") fail(path, "is no .pth file of torch >= 1.6 (not a zip)", kResave);
  Archive archive(path, input.size());
  const c10::Storage bytes = archive.read("data.pkl");
  const Pickle pickle = unpickle(bytes, path);
  const Value& root = pickle.root();
  const Value& weights = find_weights(root, path);

  TensorFile file;
  std::unordered_set<std::string> names;
  for (const auto& [key, value] : weights.entries) {
    const std::string full = key->kind == Kind::text ? key->text : "a key that is no text";
    if (value->kind == Kind::opaque)
      fail(path,
           concat("the weights need \"", full, "\", a Python object (", value->text, ") that vmae does not load"));
    if (value->kind != Kind::tensor || key->kind != Kind::text) continue;
    if (!names.insert(full).second) fail(path, concat("two tensors are called \"", full, "\""));
    file.tensors.emplace_back(full, archive.tensor(full, *value->tensor));
  }
  if (file.tensors.empty())
    fail(path,
         "holds no tensors: neither in the dict itself nor under model, state_dict, model_state_dict or "
         "network_weights");
  collect_metadata(root, &weights, "", file.metadata);
  add_nnunet_facts(root, path, file.metadata);
  archive.add_metadata(file.metadata);
  return file;
}

}  // namespace

at::Tensor compact(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kCPU).contiguous();
  return flat.storage().nbytes() == flat.nbytes() ? flat : flat.clone();
}

c10::Dict<std::string, at::Tensor> dict_of_tensors(const std::filesystem::path& path, const NamedTensors& tensors) {
  c10::Dict<std::string, at::Tensor> dict;
  for (const auto& [name, tensor] : tensors) {
    const auto fits = [type = tensor.scalar_type()](const PthDtype& dtype) {
      return dtype.is_writable && dtype.type == type;
    };
    const bool is_plain =
        tensor.defined() && tensor.layout() == at::kStrided && std::any_of(kPthDtypes.begin(), kPthDtypes.end(), fits);
    if (!is_plain)
      fail(path, concat("cannot be written: a .pth file cannot hold tensor \"", name, "\" (", tensor.toString(), ")"));
    if (!dict.insert(name, compact(tensor)).second)
      fail(path, concat("cannot be written: two tensors are called \"", name, "\""));
  }
  return dict;
}

void write_pth_archive(const std::filesystem::path& path, const at::IValue& root, const Metadata& metadata) {
  std::string pickle;
  const auto append = [&](const char* bytes, size_t size) { pickle.append(bytes, size); };
  torch::jit::Pickler pickler(append, nullptr, nullptr, nullptr, nullptr, /*tag_aggregates=*/false);
  pickler.protocol();
  pickler.pushIValue(root);
  pickler.stop();

  AtomicFile file(path);
  std::exception_ptr failure;  // kept until the end: the zip writer's destructor would end the program
  caffe2::serialize::PyTorchStreamWriter writer([&](const void* bytes, size_t size) {
    try {
      if (!failure) file.write(bytes, size);
    } catch (...) {
      failure = std::current_exception();
    }
    return size;
  });
  writer.writeRecord("data.pkl", pickle.data(), pickle.size());
  writer.writeRecord("byteorder", "little", 6);
  const std::string json = json_text(nlohmann::json(metadata), 1);
  if (!metadata.empty()) writer.writeRecord(kMetadata, json.data(), json.size());
  size_t index = 0;
  for (const at::Tensor& tensor : pickler.tensorData())
    writer.writeRecord(concat("data/", index++), tensor.const_data_ptr(), tensor.nbytes());
  writer.writeEndOfFile();
  if (failure) std::rethrow_exception(failure);
  file.commit();
}

TensorFile read_pth(const std::filesystem::path& path) {
  return guarded(path, [&] {
    TensorFile file = read_archive(path);
    if (is_nnunet_checkpoint(file)) keep_tensors_once(file, path);
    return file;
  });
}

void write_pth(const std::filesystem::path& path, const NamedTensors& tensors, const Metadata& metadata) {
  guarded(path, [&] { write_pth_archive(path, dict_of_tensors(path, tensors), metadata); });
}

}  // namespace vmae::weights
