#pragma once
// A .pth file, opened: what its pickle says, and the bytes behind that. Without LibTorch.
#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "vmae/weights/stored.h"
#include "vmae/weights/unpickle.h"
#include "zip_file.h"

namespace vmae::weights {

constexpr const char* kPthMetadata = "vmae.json";  // the record in which write_pth() leaves metadata
constexpr const char* kResave = "re-save it in Python with torch >= 1.6: torch.save(torch.load(old), new)";

class PthReader {
 public:
  explicit PthReader(const std::filesystem::path& path);

  struct Entry {
    std::string name;
    const PickledTensor* place = nullptr;  // lies within its storage
    const Dtype* dtype = nullptr;
  };
  const std::vector<Entry>& tensors() const { return tensors_; }  // in the file's order
  const Metadata& metadata() const { return metadata_; }

  // Of a storage that a tensor lies in. Where the zip has checksums, read_storage() compares them.
  uint64_t storage_bytes(const std::string& storage) const { return storages_.at(storage).bytes; }
  void read_storage(const std::string& storage, void* to) const;

 private:
  struct Storage {
    uint64_t record = 0, bytes = 0;
  };
  std::optional<uint64_t> find(const std::string& record) const { return zip_.find(folder_ + record); }
  ZipEntry open(uint64_t record);
  std::string read(uint64_t record);
  void add_tensors(const Value& weights);
  void add_own_metadata();
  void check_bounds(const Entry& entry) const;

  std::filesystem::path path_;
  uint64_t unread_;  // no record may claim more bytes than the file has, nor all records that are read together
  ZipFile zip_;
  std::string folder_;  // in which all records lie
  std::unique_ptr<Pickle> pickle_;
  std::unordered_map<std::string, Storage> storages_;
  std::vector<Entry> tensors_;
  Metadata metadata_;
};

}  // namespace vmae::weights
