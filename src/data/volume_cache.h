#pragma once
// Recently read volumes, bounded in bytes. A volume is read by one thread at
// a time, the others that want it wait. A file that failed once fails always.
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "vmae/core/error.h"
#include "vmae/data/intensity.h"
#include "vmae/image/image.h"

namespace vmae::data {

struct CachedVolume {
  io::Volume volume;
  IntensityRange range{};  // of the whole volume
  io::Volume mask{};       // labels on the same grid; without `stored` where none is wanted
};

class VolumeCache {
 public:
  explicit VolumeCache(size_t max_bytes) : max_bytes_(max_bytes) {}

  // The volume of file number `file`, from `read` if it is not here.
  std::shared_ptr<const CachedVolume> get(size_t file, const std::function<CachedVolume()>& read);

  // Runs `read` unless the file failed before; remembers Error(data), which is thrown again.
  void remember_failure(size_t file, const std::function<void()>& read);

 private:
  struct Slot {
    std::shared_ptr<const CachedVolume> volume;  // empty while it is read
    uint64_t last_used = 0;
  };
  void throw_if_failed(size_t file) const;  // mutex_ held
  void evict(size_t keep);                  // mutex_ held

  const size_t max_bytes_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<size_t, Slot> slots_;
  std::map<size_t, Error> failures_;
  size_t bytes_ = 0;
  uint64_t clock_ = 0;
};

}  // namespace vmae::data
