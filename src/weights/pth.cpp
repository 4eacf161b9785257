// Reading: pth_reader.cpp says what a file holds, and where the numbers lie.
#include "vmae/weights/pth.h"

#include <ATen/core/Dict.h>
#include <ATen/core/ivalue.h>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/serialization/pickler.h>
#include <torch/types.h>

#include <exception>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "input_file.h"
#include "nnunet_facts.h"
#include "pth_archive.h"
#include "pth_reader.h"
#include "scalar_type.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/json_text.h"
#include "vmae/core/log.h"
#include "vmae/weights/nnunet.h"
#include "vmae/weights/unwrap.h"

namespace vmae::weights {
namespace {

c10::Storage read_storage(const PthReader& reader, const std::string& name) {
  const uint64_t bytes = reader.storage_bytes(name);
  c10::DataPtr data = at::getCPUAllocator()->allocate(bytes);
  reader.read_storage(name, data.mutable_get());
  return {c10::Storage::use_byte_size_t(), bytes, std::move(data), /*allocator=*/nullptr, /*resizable=*/false};
}

TensorFile read_archive(const std::filesystem::path& path) {
  const PthReader reader(path);
  TensorFile file{{}, reader.metadata()};
  std::unordered_map<std::string, c10::Storage> storages;
  for (const auto& [name, place, dtype] : reader.tensors()) {
    const auto [storage, is_new] = storages.try_emplace(place->storage);
    if (is_new) storage->second = read_storage(reader, place->storage);
    file.tensors.emplace_back(name, at::empty({0}, at::TensorOptions(scalar_type(*dtype)))
                                        .set_(storage->second, place->offset, place->sizes, place->strides));
  }
  return file;
}

// Names without what wrappers put before them, each tensor once.
void keep_tensors_once(TensorFile& file, const std::filesystem::path& path) {
  if (const std::string removed = unwrap(file, path); !removed.empty()) log::info(removed);
  file.tensors = without_copies(file.tensors, path);
}

}  // namespace

at::Tensor compact(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kCPU).contiguous();
  return flat.storage().nbytes() == flat.nbytes() ? flat : flat.clone();
}

c10::Dict<std::string, at::Tensor> dict_of_tensors(const std::filesystem::path& path, const NamedTensors& tensors) {
  c10::Dict<std::string, at::Tensor> dict;
  for (const auto& [name, tensor] : tensors) {
    const Dtype* dtype =
        tensor.defined() && tensor.layout() == at::kStrided ? find_dtype(tensor.scalar_type()) : nullptr;
    const bool is_plain = dtype != nullptr && dtype->has_storage_class;
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
  if (!metadata.empty()) writer.writeRecord(kPthMetadata, json.data(), json.size());
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
    if (is_nnunet(file.metadata)) keep_tensors_once(file, path);
    return file;
  });
}

void write_pth(const std::filesystem::path& path, const NamedTensors& tensors, const Metadata& metadata) {
  guarded(path, [&] { write_pth_archive(path, dict_of_tensors(path, tensors), metadata); });
}

}  // namespace vmae::weights
