#include "vmae/prepared/writer.h"

#include <cstring>

#include "codec.h"
#include "index.h"
#include "lmdb_file.h"
#include "record.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/crc32c.h"
#include "vmae/core/error.h"
#include "vmae/core/hash.h"

namespace vmae::io {

constexpr uintmax_t kTwoPages = 8192;  // LMDB's two meta pages

PackedItem pack_item(const PreparedItem& item, std::span<const std::byte> pixels, std::span<const uint8_t> mask,
                     int64_t case_number) {
  const auto num_rows = static_cast<size_t>(item.height), width = static_cast<size_t>(item.width);
  const Compressed packed =
      compress(pixels, {num_rows, width * static_cast<size_t>(item.channels), size_of(item.type)});
  std::string packed_mask;
  if (!mask.empty()) packed_mask = compress_mask(std::as_bytes(mask));

  ItemHeader header;
  header.type = static_cast<uint8_t>(item.type);
  header.filter = static_cast<uint8_t>(packed.filter);
  header.channels = static_cast<uint16_t>(item.channels);
  header.height = static_cast<uint32_t>(item.height);
  header.width = static_cast<uint32_t>(item.width);
  header.case_number = static_cast<uint32_t>(case_number);
  header.slice = static_cast<uint32_t>(item.slice);
  header.pixel_size = static_cast<uint32_t>(packed.bytes.size());
  header.mask_size = static_cast<uint32_t>(packed_mask.size());
  header.slope = item.scaling.slope;
  header.intercept = item.scaling.intercept;
  header.stored_max = item.stored_max;
  header.stats = item.stats;

  PackedItem result;
  result.record.resize(sizeof(header));
  result.record += packed.bytes;
  result.record += packed_mask;
  std::memcpy(result.record.data(), &header, sizeof(header));
  constexpr size_t kSkipped = offsetof(ItemHeader, type);
  header.crc = crc32c(result.record.data() + kSkipped, result.record.size() - kSkipped);
  std::memcpy(result.record.data(), &header, sizeof(header));
  return result;
}

std::string items_digest(const std::vector<PackedItem>& items) {
  Sha256 hash;
  for (const PackedItem& item : items) hash.add(item.record);
  return hex(hash.finish());
}

struct ShardWriter::State {
  explicit State(const std::filesystem::path& file) : lmdb(file) {}
  LmdbWriter lmdb;
  int64_t first_case = 0, num_cases = 0, num_items = 0;
};

ShardWriter::ShardWriter(const std::filesystem::path& file, int64_t first_case) {
  // A process that ended within the first write left no page that LMDB would know; nothing was committed then.
  std::error_code absent;
  if (const auto size = std::filesystem::file_size(file, absent); !absent && size < kTwoPages)
    std::filesystem::remove(file);
  state_ = std::make_unique<State>(file);
  state_->first_case = first_case;
  if (const auto last = state_->lmdb.last_case()) {
    const PreparedCase a_case = parse_case(last->second);
    state_->num_cases = int64_t{last->first} + 1;
    state_->num_items = a_case.first_item + a_case.num_items;
  }
}

ShardWriter::~ShardWriter() = default;
int64_t ShardWriter::num_cases() const { return state_->num_cases; }
int64_t ShardWriter::num_items() const { return state_->num_items; }

void ShardWriter::add(PreparedCase a_case, const std::vector<PackedItem>& items) {
  a_case.first_item = state_->num_items;
  a_case.num_items = static_cast<int64_t>(items.size());
  for (const PackedItem& item : items) state_->lmdb.put_item(static_cast<uint32_t>(state_->num_items++), item.record);
  state_->lmdb.put_case(static_cast<uint32_t>(state_->num_cases++), case_record(a_case));
}

void ShardWriter::commit() { state_->lmdb.commit(); }

struct DuplicateFinder::State {
  explicit State(const std::filesystem::path& file) : index(file) {}
  LmdbIndex index;
};

DuplicateFinder::DuplicateFinder(const std::filesystem::path& file) : state_(std::make_unique<State>(file)) {}
DuplicateFinder::~DuplicateFinder() = default;
int64_t DuplicateFinder::first_of(const std::string& pixels_sha256, int64_t number) {
  return static_cast<int64_t>(state_->index.first_of(pixels_sha256, static_cast<uint64_t>(number)));
}
void DuplicateFinder::add_cases(const std::filesystem::path& shard, int64_t first_case, int64_t num_cases) {
  const LmdbReader reader(shard);
  for (int64_t i = 0; i < num_cases; ++i) {
    const auto record = reader.a_case(static_cast<uint32_t>(i));
    if (!record) throw Error(ExitCode::internal, concat(shard.string(), ": case ", i, " is missing"));
    const PreparedCase a_case = parse_case(*record);
    if (a_case.failure.empty()) first_of(a_case.pixels_sha256, first_case + i);
  }
}

void DuplicateFinder::commit() { state_->index.commit(); }

PreparedInfo complete_info(const std::filesystem::path& folder, PreparedInfo info) {
  info.num_cases = info.num_items = info.num_failed = info.num_duplicates = 0;
  info.modalities.clear();
  Sha256 cases;
  for (PreparedShard& shard : info.shards) {
    shard.first_case = info.num_cases;
    shard.first_item = info.num_items;
    const LmdbReader reader(folder / shard.file);
    shard.num_items = 0;
    for (int64_t i = 0; i < shard.num_cases; ++i) {
      const auto record = reader.a_case(static_cast<uint32_t>(i));
      if (!record) throw Error(ExitCode::internal, concat((folder / shard.file).string(), ": case ", i, " is missing"));
      const PreparedCase a_case = parse_case(*record);
      shard.num_items += a_case.num_items;
      info.num_failed += a_case.failure.empty() ? 0 : 1;
      info.num_duplicates += a_case.duplicate_of ? 1 : 0;
      if (a_case.failure.empty()) ++info.modalities[a_case.modality];
      cases.add(*record);
    }
    info.num_cases += shard.num_cases;
    info.num_items += shard.num_items;
  }
  info.digest = dataset_digest(hex(cases.finish()), info);
  return info;
}

void write_index(const std::filesystem::path& folder, const PreparedInfo& info) {
  write_file_atomically(folder / kIndexName, index_json(info));
}

}  // namespace vmae::io
