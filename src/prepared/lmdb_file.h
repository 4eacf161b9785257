#pragma once
// LMDB behind RAII: one file, two tables ("items", "cases"), keys are 32-bit numbers in
// big-endian order. Errors are Error(data) when reading, Error(internal) when writing.
#include <lmdb.h>

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

namespace vmae::io {

// Reading: read-only, without locks and without a lock file. Safe
// for many threads and processes as long as nobody writes the file.
class LmdbReader {
 public:
  explicit LmdbReader(std::filesystem::path file);
  ~LmdbReader();
  LmdbReader(const LmdbReader&) = delete;
  LmdbReader& operator=(const LmdbReader&) = delete;

  std::optional<std::string_view> item(uint32_t key) const { return get(items_, key); }
  std::optional<std::string_view> a_case(uint32_t key) const { return get(cases_, key); }

 private:
  std::optional<std::string_view> get(MDB_dbi table, uint32_t key) const;
  std::filesystem::path file_;
  MDB_env* env_ = nullptr;
  MDB_dbi items_ = 0, cases_ = 0;
  mutable std::mutex mutex_;
  mutable std::vector<MDB_txn*> idle_;  // a transaction may be used by one thread at a time; the map outlives them all
};

// Writing by one thread. What was put becomes visible and durable by commit(); a kill loses what came after.
class LmdbWriter {
 public:
  explicit LmdbWriter(std::filesystem::path file);
  ~LmdbWriter();  // without commit(): as a kill
  LmdbWriter(const LmdbWriter&) = delete;
  LmdbWriter& operator=(const LmdbWriter&) = delete;

  void put_item(uint32_t key, std::string_view value) { put(items_, key, value); }
  void put_case(uint32_t key, std::string_view value) { put(cases_, key, value); }
  std::optional<std::pair<uint32_t, std::string_view>> last_case();  // valid until the next put
  void commit();

 private:
  void begin();
  void put(MDB_dbi table, uint32_t key, std::string_view value);
  [[noreturn]] void fail(const char* doing, int code) const;
  std::filesystem::path file_;
  MDB_env* env_ = nullptr;
  MDB_txn* txn_ = nullptr;
  MDB_dbi items_ = 0, cases_ = 0;
  // of the open transaction, to be repeated when the map must grow
  std::vector<std::pair<std::pair<MDB_dbi, uint32_t>, std::string>> pending_;
};

// A table from hashes to numbers in a file of its own, for finding duplicates in constant memory.
class LmdbIndex {
 public:
  explicit LmdbIndex(std::filesystem::path file);
  ~LmdbIndex();
  LmdbIndex(const LmdbIndex&) = delete;
  LmdbIndex& operator=(const LmdbIndex&) = delete;
  // The number that is there already; else puts `number` and gives it back.
  uint64_t first_of(std::string_view hash, uint64_t number);
  void commit();

 private:
  std::filesystem::path file_;
  MDB_env* env_ = nullptr;
  MDB_txn* txn_ = nullptr;
  MDB_dbi table_ = 0;
};

}  // namespace vmae::io
