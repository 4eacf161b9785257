#pragma once
// Writes the shards of a prepared dataset, in the order of the cases. A process that is killed
// loses what was not committed; opened again, a shard goes on after its last committed case.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vmae/prepared/prepared.h"

namespace vmae::io {

// One slice with its mask, ready to be written; made by any thread.
struct PackedItem {
  std::string record;
};
// item: everything but case_number, pixels, mask, record and filter.
// pixels: item.pixel_bytes(); mask: item.mask_bytes(), or empty.
PackedItem pack_item(const PreparedItem& item, std::span<const std::byte> pixels, std::span<const uint8_t> mask,
                     int64_t case_number);
std::string items_digest(const std::vector<PackedItem>& items);  // PreparedCase::items_sha256

class ShardWriter {
 public:
  ShardWriter(const std::filesystem::path& file, int64_t first_case);  // a new one, or one that was not finished
  ~ShardWriter();

  int64_t num_cases() const;  // that are in it
  int64_t num_items() const;
  // The next case; sets its first_item (counted from the shard's first item).
  void add(PreparedCase a_case, const std::vector<PackedItem>& items);
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The first case with these pixels: `number` itself, or one before it. For finding exact duplicates in constant memory.
class DuplicateFinder {
 public:
  explicit DuplicateFinder(const std::filesystem::path& file);
  ~DuplicateFinder();
  int64_t first_of(const std::string& pixels_sha256, int64_t number);
  // what an earlier process wrote
  void add_cases(const std::filesystem::path& shard, int64_t first_case, int64_t num_cases);
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Totals, first numbers and the digest, from the finished shards; everything else in `info` is given.
PreparedInfo complete_info(const std::filesystem::path& folder, PreparedInfo info);
void write_index(const std::filesystem::path& folder, const PreparedInfo& info);  // makes the dataset a finished one

}  // namespace vmae::io
