// What the functions named in a checkpoint's pickle stand for. A
// function that is not here is never looked up: its result is opaque.
#include <algorithm>
#include <array>
#include <cstring>

#include "unpickler.h"
#include "vmae/core/error.h"

namespace vmae::weights {
namespace {

using Kind = Value::Kind;

constexpr size_t kMostDimensions = 64;

const Value* argument(const Value& arguments, size_t index, Kind kind) {
  if (arguments.kind != Kind::tuple || index >= arguments.items.size() || arguments.items[index]->kind != kind)
    return nullptr;
  return arguments.items[index];
}

// One name for what Python 2 and 3, and NumPy 1 and 2, call differently.
std::string canonical(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kRenamed{
      {{"__builtin__.", "builtins."}, {"numpy._core.", "numpy.core."}, {"torch.storage.", "torch."}}};
  for (const auto& [from, to] : kRenamed) {
    if (name.starts_with(from)) return concat(to, name.substr(from.size()));
  }
  return std::string(name);
}

std::string storage_dtype(std::string_view storage_class) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 13> kStorages{
      {{"torch.FloatStorage", "float32"},
       {"torch.DoubleStorage", "float64"},
       {"torch.HalfStorage", "float16"},
       {"torch.BFloat16Storage", "bfloat16"},
       {"torch.LongStorage", "int64"},
       {"torch.IntStorage", "int32"},
       {"torch.ShortStorage", "int16"},
       {"torch.CharStorage", "int8"},
       {"torch.ByteStorage", "uint8"},
       {"torch.BoolStorage", "bool"},
       {"torch.ComplexFloatStorage", "complex64"},
       {"torch.ComplexDoubleStorage", "complex128"},
       {"torch.UntypedStorage", "uint8"}}};
  for (const auto& [name, dtype] : kStorages) {
    if (name == storage_class) return std::string(dtype);
  }
  return "";
}

bool read_dimensions(const Value* tuple, std::vector<int64_t>& dimensions) {
  if (tuple == nullptr || tuple->items.size() > kMostDimensions) return false;
  for (const Value* item : tuple->items) {
    if (item->kind != Kind::integer) return false;
    dimensions.push_back(item->integer);
  }
  return true;
}

template <class Number>
Number from_bytes(const std::string& bytes) {
  Number number;
  std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

}  // namespace

Value* Unpickler::call(const Value& function, const Value& arguments) {
  if (function.kind != Kind::global)
    return make_text(Kind::opaque, function.kind == Kind::opaque ? function.text : "a call of no function");
  const std::string name = canonical(function.text);
  const Value* items = argument(arguments, 0, Kind::list);

  if (name == "collections.OrderedDict" || name == "collections.defaultdict" || name == "argparse.Namespace") {
    Value* dict = make_text(Kind::dict, name);
    // Python 2: OrderedDict([[key, value], ...])
    for (const Value* pair : items == nullptr ? std::vector<Value*>() : items->items) {
      spend(1);
      if (pair->items.size() == 2) dict->entries.emplace_back(pair->items[0], pair->items[1]);
    }
    return dict;
  }
  if (name == "builtins.set" || name == "builtins.frozenset") {
    if (items != nullptr) spend(items->items.size());
    return make_sequence(Kind::set, items == nullptr ? std::vector<Value*>() : items->items);
  }
  if (name == "torch.Size") {
    const Value* sizes = argument(arguments, 0, Kind::tuple);
    if (sizes != nullptr) spend(sizes->items.size());
    return make_sequence(Kind::tuple, sizes == nullptr ? std::vector<Value*>() : sizes->items);
  }
  if (name == "torch.device") {
    const Value* type = argument(arguments, 0, Kind::text);
    const Value* index = argument(arguments, 1, Kind::integer);
    if (type != nullptr && type->text.size() < 64)
      return make_text(Kind::text, index == nullptr ? type->text : concat(type->text, ":", index->integer));
  }
  if (name.starts_with("torch._utils._rebuild_tensor") || name.starts_with("torch._utils._rebuild_parameter"))
    return rebuild_tensor(function, arguments);
  // (function, type, its arguments, state): a tensor with attributes of its own
  if (name == "torch._tensor._rebuild_from_type_v2") {
    const Value* inner = argument(arguments, 0, Kind::global);
    const Value* inner_arguments = argument(arguments, 2, Kind::tuple);
    if (inner != nullptr && inner_arguments != nullptr && inner->text.starts_with("torch._utils."))
      return call(*inner, *inner_arguments);
  }
  if (name == "copyreg._reconstructor") {  // (class, object, None)
    const Value* type = argument(arguments, 0, Kind::global);
    if (type != nullptr && type->text == "argparse.Namespace") return make_text(Kind::dict, type->text);
  }
  if (name == "_codecs.encode") return latin1_bytes(arguments);
  if (name == "numpy.core.multiarray.scalar") return numpy_scalar(arguments);
  Value* opaque = make_text(Kind::opaque, name);
  if (name == "numpy.dtype" && arguments.items.size() <= 3) opaque->items = arguments.items;
  return opaque;
}

// _rebuild_tensor(storage, offset, sizes, strides), _v2(..., requires_grad, hooks, metadata), _v3(...,
// requires_grad, hooks, dtype, metadata) _rebuild_parameter(tensor, requires_grad, hooks), _with_state(..., state)
Value* Unpickler::rebuild_tensor(const Value& function, const Value& arguments) {
  auto described = std::make_unique<PickledTensor>();
  if (function.text.starts_with("torch._utils._rebuild_parameter")) {
    const Value* tensor = argument(arguments, 0, Kind::tensor);
    if (tensor == nullptr) return make_text(Kind::opaque, function.text);
    *described = *tensor->tensor;
  } else {
    const Value* storage = argument(arguments, 0, Kind::storage);
    const Value* offset = argument(arguments, 1, Kind::integer);
    if (storage == nullptr || offset == nullptr ||
        !read_dimensions(argument(arguments, 2, Kind::tuple), described->sizes) ||
        !read_dimensions(argument(arguments, 3, Kind::tuple), described->strides)) {
      return make_text(Kind::opaque, function.text);
    }
    described->storage = storage->tensor->storage;
    described->dtype = storage->tensor->dtype;
    described->offset = offset->integer;
    if (function.text.ends_with("_v3")) {
      const Value* dtype = argument(arguments, 6, Kind::global);
      if (dtype == nullptr || !dtype->text.starts_with("torch.")) return make_text(Kind::opaque, function.text);
      described->dtype = dtype->text.substr(std::strlen("torch."));
    }
  }
  Value* tensor = make(Kind::tensor);
  tensor->tensor = std::move(described);
  return tensor;
}

// ("storage", class, record, device, number of elements)
Value* Unpickler::persistent_storage(const Value& id) {
  const Value* kind = argument(id, 0, Kind::text);
  const Value* type = argument(id, 1, Kind::global);
  const Value* record = argument(id, 2, Kind::text);
  if (kind == nullptr || kind->text != "storage" || type == nullptr || record == nullptr || record->text.size() > 64) {
    return make_text(Kind::opaque, "an external object");
  }
  Value* storage = make(Kind::storage);
  storage->tensor = std::make_unique<PickledTensor>();
  storage->tensor->storage = record->text;
  storage->tensor->dtype = storage_dtype(canonical(type->text));
  return storage;
}

// _codecs.encode(text, "latin1"): how protocol 2 writes bytes.
Value* Unpickler::latin1_bytes(const Value& arguments) {
  const Value* text = argument(arguments, 0, Kind::text);
  if (text == nullptr) return make_text(Kind::opaque, "_codecs.encode");
  spend(text->text.size());
  std::string bytes;
  for (size_t i = 0; i < text->text.size(); ++i) {
    const auto first = static_cast<unsigned char>(text->text[i]);
    const bool has_two = first >= 0xc2 && first <= 0xc3 && i + 1 < text->text.size();  // U+0080 to U+00FF
    bytes += has_two ? static_cast<char>((first & 3) << 6 | (text->text[++i] & 0x3f)) : static_cast<char>(first);
  }
  return make_text(Kind::bytes, bytes);
}

// (dtype, bytes), where dtype is numpy.dtype(name, ...) built with (version, byte order, ...).
Value* Unpickler::numpy_scalar(const Value& arguments) {
  const Value* dtype = argument(arguments, 0, Kind::opaque);
  const Value* bytes = argument(arguments, 1, Kind::bytes);
  const bool is_known =
      dtype != nullptr && bytes != nullptr && !dtype->items.empty() && dtype->items[0]->kind == Kind::text;
  const std::string type = is_known ? dtype->items[0]->text : "";
  const std::string order = is_known && dtype->items.back()->kind == Kind::text ? dtype->items.back()->text : "<";
  const std::string& digits = is_known ? bytes->text : type;
  if (order != ">" && type.size() == 2 && digits.size() == static_cast<size_t>(type[1] - '0')) {
    if (type == "f8") return make_real(from_bytes<double>(digits));
    if (type == "f4") return make_real(from_bytes<float>(digits));
    if (type == "i8") return make_integer(from_bytes<int64_t>(digits));
    if (type == "i4") return make_integer(from_bytes<int32_t>(digits));
    if (type == "u1") return make_integer(from_bytes<uint8_t>(digits));
    if (type == "b1") return make_boolean(digits[0] != 0);
  }
  return make_text(Kind::opaque, "numpy.scalar");
}

void Unpickler::build(Value& object, const Value& state) {
  if (object.kind == Kind::dict && object.text == "argparse.Namespace" && state.kind == Kind::dict &&
      &state != &object) {
    spend(state.entries.size());
    object.entries = state.entries;
  }
  if (object.text == "numpy.dtype" && object.kind == Kind::opaque && state.kind == Kind::tuple &&
      state.items.size() > 1 && object.items.size() <= 3) {
    object.items.push_back(state.items[1]);
  }
}

}  // namespace vmae::weights
