#include "vmae/weights/stored.h"

#include <unordered_set>

#include "formats.h"
#include "input_file.h"
#include "nnunet_facts.h"
#include "nnunet_names.h"
#include "npy.h"
#include "pth_reader.h"
#include "safetensors_header.h"
#include "vmae/weights/unwrap.h"

namespace vmae::weights {
namespace {

StoredWeights stored_safetensors(const std::filesystem::path& path) {
  Header header = read_header(InputFile(path), path);
  StoredWeights stored{{}, std::move(header.metadata)};
  for (HeaderEntry& entry : header.entries) stored.tensors.push_back({std::move(entry.name), std::move(entry.tensor)});
  return stored;
}

StoredWeights stored_npz(const std::filesystem::path& path) {
  StoredWeights stored;
  for_each_npy(path, [&](const std::string& name, const NpyHeader& header, ZipEntry&) {
    stored.tensors.push_back({name, {header.dtype, header.shape}});
  });
  return stored;
}

StoredWeights stored_pth(const std::filesystem::path& path) {
  const PthReader reader(path);
  StoredWeights stored{{}, reader.metadata()};
  for (const PthReader::Entry& entry : reader.tensors())
    stored.tensors.push_back({entry.name, {entry.dtype, entry.place->sizes}});
  if (!is_nnunet(stored.metadata)) return stored;
  unwrap(stored, path);
  std::unordered_set<std::string> names;
  std::vector<std::pair<std::string, StoredTensor>> once;
  for (auto& [name, tensor] : stored.tensors) {
    std::string first = nnunet_first_name(name);
    if (names.insert(first).second) once.emplace_back(std::move(first), std::move(tensor));
  }
  stored.tensors = std::move(once);
  return stored;
}

}  // namespace

int64_t StoredTensor::numel() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

Format format_of(const std::filesystem::path& path) {
  const std::string head = InputFile(path).head(512);
  if (is_npz(head)) return Format::npz;
  if (head.starts_with("PK")) return Format::pth;
  // a header of less than 4 GB
  if (head.size() > 8 && head[8] == '{' && head.compare(4, 4, std::string(4, '\0')) == 0) return Format::safetensors;
  if (head.starts_with('\x80') || (head.size() > 262 && head.compare(257, 5, "ustar") == 0))
    fail(path, "was written by torch < 1.6, whose format vmae does not read", kResave);
  fail(path, head.empty() ? "is empty" : "is neither safetensors nor a .pth or .npz file");
}

StoredWeights read_stored(const std::filesystem::path& path) {
  return guarded(path, [&] {
    const Format format = format_of(path);
    if (format == Format::safetensors) return stored_safetensors(path);
    return format == Format::pth ? stored_pth(path) : stored_npz(path);
  });
}

}  // namespace vmae::weights
