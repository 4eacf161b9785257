// A write transaction that finds the map too small (MDB_MAP_FULL)
// is lost: the map is doubled and what was pending is put again.
#include "lmdb_file.h"

#include <array>

#include "vmae/core/error.h"

namespace vmae::io {
namespace {

constexpr size_t kFirstMapBytes = size_t{1} << 30;
using Key = std::array<unsigned char, 4>;

Key key_of(uint32_t number) {
  return {static_cast<unsigned char>(number >> 24), static_cast<unsigned char>(number >> 16),
          static_cast<unsigned char>(number >> 8), static_cast<unsigned char>(number)};
}

// LMDB does not change what it is given
MDB_val value_of(const void* bytes, size_t size) { return {size, const_cast<void*>(bytes)}; }

[[noreturn]] void fail_reading(const std::filesystem::path& file, const char* doing, int code) {
  fail_file(file, concat("can't be ", doing, ": ", mdb_strerror(code)),
            "the file is damaged or not part of a prepared dataset; prepare it again");
}

// A map large enough for the file and what will be added soon; address space only.
size_t map_bytes(const std::filesystem::path& file) {
  std::error_code absent;
  const auto size = std::filesystem::file_size(file, absent);
  size_t wanted = kFirstMapBytes;
  while (!absent && wanted < 2 * size) wanted *= 2;
  return wanted;
}

}  // namespace

LmdbReader::LmdbReader(std::filesystem::path file) : file_(std::move(file)) {
  mdb_env_create(&env_);
  mdb_env_set_maxdbs(env_, 2);
  const auto require = [&](int code) {
    if (code == 0) return;
    for (MDB_txn* txn : idle_) mdb_txn_abort(txn);
    mdb_env_close(env_);
    fail_reading(file_, "opened", code);
  };
  require(mdb_env_open(env_, file_.c_str(), MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS | MDB_NORDAHEAD, 0));
  // LMDB trusts its file: reading a page beyond the end of a file that was cut off would end the process.
  MDB_envinfo info;
  MDB_stat stat;
  mdb_env_info(env_, &info);
  mdb_env_stat(env_, &stat);
  std::error_code ignored;
  if ((info.me_last_pgno + 1) * stat.ms_psize > std::filesystem::file_size(file_, ignored)) require(MDB_CORRUPTED);
  MDB_txn* txn = nullptr;
  require(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn));
  idle_.reserve(1024);
  idle_.push_back(txn);
  require(mdb_dbi_open(txn, "items", 0, &items_));
  require(mdb_dbi_open(txn, "cases", 0, &cases_));
  // Handles opened in a transaction belong to the environment once it is committed.
  idle_.clear();
  require(mdb_txn_commit(txn));
}

LmdbReader::~LmdbReader() {
  for (MDB_txn* txn : idle_) mdb_txn_abort(txn);
  mdb_env_close(env_);
}

std::optional<std::string_view> LmdbReader::get(MDB_dbi table, uint32_t number) const {
  MDB_txn* txn = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      txn = idle_.back();
      idle_.pop_back();
    }
  }
  if (txn == nullptr) {
    if (const int code = mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn)) fail_reading(file_, "read", code);
  }
  const Key key = key_of(number);
  MDB_val wanted = value_of(key.data(), key.size()), found{};
  const int code = mdb_get(txn, table, &wanted, &found);
  {
    const std::lock_guard lock(mutex_);
    idle_.push_back(txn);
  }
  if (code == MDB_NOTFOUND) return std::nullopt;
  if (code != 0) fail_reading(file_, "read", code);
  return std::string_view(static_cast<const char*>(found.mv_data), found.mv_size);
}

LmdbWriter::LmdbWriter(std::filesystem::path file) : file_(std::move(file)) {
  mdb_env_create(&env_);
  mdb_env_set_maxdbs(env_, 2);
  mdb_env_set_mapsize(env_, map_bytes(file_));
  if (const int code = mdb_env_open(env_, file_.c_str(), MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS, 0644)) {
    mdb_env_close(env_);
    env_ = nullptr;
    fail("opened", code);
  }
  begin();
  int code = mdb_dbi_open(txn_, "items", MDB_CREATE, &items_);
  if (code == 0) code = mdb_dbi_open(txn_, "cases", MDB_CREATE, &cases_);
  if (code != 0) fail("opened", code);
  commit();
}

LmdbWriter::~LmdbWriter() {
  if (txn_) mdb_txn_abort(txn_);
  if (env_) mdb_env_close(env_);
}

void LmdbWriter::fail(const char* doing, int code) const {
  throw Error(ExitCode::internal, concat(file_.string(), ": can't be ", doing, ": ", mdb_strerror(code)),
              "is the disk full? free some space and run the same command again");
}

void LmdbWriter::begin() {
  if (txn_) return;
  if (const int code = mdb_txn_begin(env_, nullptr, 0, &txn_)) fail("written", code);
}

void LmdbWriter::put(MDB_dbi table, uint32_t number, std::string_view bytes) {
  begin();
  const Key key = key_of(number);
  MDB_val at = value_of(key.data(), key.size()), value = value_of(bytes.data(), bytes.size());
  pending_.emplace_back(std::pair{table, number}, std::string(bytes));
  int code = mdb_put(txn_, table, &at, &value, 0);
  while (code == MDB_MAP_FULL) {
    mdb_txn_abort(txn_);
    txn_ = nullptr;
    MDB_envinfo info;
    mdb_env_info(env_, &info);
    if (const int failed = mdb_env_set_mapsize(env_, 2 * info.me_mapsize)) fail("enlarged", failed);
    begin();
    code = 0;
    for (const auto& [where, content] : pending_) {
      const Key again = key_of(where.second);
      MDB_val again_at = value_of(again.data(), again.size()), again_value = value_of(content.data(), content.size());
      code = mdb_put(txn_, where.first, &again_at, &again_value, 0);
      if (code != 0) break;
    }
  }
  if (code != 0) fail("written", code);
}

std::optional<std::pair<uint32_t, std::string_view>> LmdbWriter::last_case() {
  begin();
  MDB_cursor* cursor = nullptr;
  if (const int code = mdb_cursor_open(txn_, cases_, &cursor)) fail("read", code);
  MDB_val key{}, value{};
  const int code = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
  mdb_cursor_close(cursor);
  if (code == MDB_NOTFOUND) return std::nullopt;
  if (code != 0 || key.mv_size != 4) fail("read", code);
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) number = number << 8 | static_cast<const unsigned char*>(key.mv_data)[i];
  return std::pair{number, std::string_view(static_cast<const char*>(value.mv_data), value.mv_size)};
}

void LmdbWriter::commit() {
  if (!txn_) return;
  MDB_txn* done = txn_;
  txn_ = nullptr;
  pending_.clear();
  if (const int code = mdb_txn_commit(done)) fail("written", code);
}

LmdbIndex::LmdbIndex(std::filesystem::path file) : file_(std::move(file)) {
  mdb_env_create(&env_);
  mdb_env_set_mapsize(env_, kFirstMapBytes << 6);
  int code = mdb_env_open(env_, file_.c_str(), MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS | MDB_NOSYNC, 0644);
  if (code == 0) code = mdb_txn_begin(env_, nullptr, 0, &txn_);
  if (code == 0) code = mdb_dbi_open(txn_, nullptr, 0, &table_);
  if (code != 0) {
    if (txn_) mdb_txn_abort(txn_);
    mdb_env_close(env_);
    throw Error(ExitCode::internal, concat(file_.string(), ": can't be opened: ", mdb_strerror(code)));
  }
}

LmdbIndex::~LmdbIndex() {
  if (txn_) mdb_txn_abort(txn_);
  mdb_env_close(env_);
}

uint64_t LmdbIndex::first_of(std::string_view hash, uint64_t number) {
  int code = txn_ ? 0 : mdb_txn_begin(env_, nullptr, 0, &txn_);
  MDB_val key = value_of(hash.data(), hash.size()), value = value_of(&number, sizeof(number));
  if (code == 0) code = mdb_put(txn_, table_, &key, &value, MDB_NOOVERWRITE);
  if (code == MDB_KEYEXIST && value.mv_size == sizeof(number)) {
    const auto* bytes = static_cast<const char*>(value.mv_data);
    std::copy(bytes, bytes + sizeof(number), reinterpret_cast<char*>(&number));
    return number;
  }
  if (code != 0)
    throw Error(ExitCode::internal, concat(file_.string(), ": can't be written: ", mdb_strerror(code)),
                "is the disk full?");
  return number;
}

void LmdbIndex::commit() {
  if (!txn_) return;
  MDB_txn* done = txn_;
  txn_ = nullptr;
  if (const int code = mdb_txn_commit(done))
    throw Error(ExitCode::internal, concat(file_.string(), ": can't be written: ", mdb_strerror(code)),
                "is the disk full?");
}

}  // namespace vmae::io
