// One lock for the table; reading happens outside of it. Threads
// that find a slot without a volume wait until its reader is done.
#include "volume_cache.h"

#include <algorithm>

namespace vmae::data {
namespace {

size_t bytes_of(const CachedVolume& entry) { return entry.volume.stored.size() + entry.mask.stored.size(); }

}  // namespace

std::shared_ptr<const CachedVolume> VolumeCache::get(size_t file, const std::function<CachedVolume()>& read) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !slots_.contains(file) || slots_[file].volume; });
  throw_if_failed(file);
  if (const auto found = slots_.find(file); found != slots_.end()) {
    found->second.last_used = ++clock_;
    return found->second.volume;
  }
  slots_.emplace(file, Slot{});
  lock.unlock();

  std::shared_ptr<const CachedVolume> volume;
  try {
    remember_failure(file, [&] { volume = std::make_shared<const CachedVolume>(read()); });
  } catch (...) {
    lock.lock();
    slots_.erase(file);
    changed_.notify_all();
    throw;
  }
  lock.lock();
  slots_[file] = {volume, ++clock_};
  bytes_ += bytes_of(*volume);
  evict(file);
  changed_.notify_all();
  return volume;
}

void VolumeCache::remember_failure(size_t file, const std::function<void()>& read) {
  {
    const std::lock_guard lock(mutex_);
    throw_if_failed(file);
  }
  try {
    read();
  } catch (const Error& error) {
    if (error.code() == ExitCode::data) {
      const std::lock_guard lock(mutex_);
      failures_.emplace(file, error);
    }
    throw;
  }
}

void VolumeCache::throw_if_failed(size_t file) const {
  if (const auto failed = failures_.find(file); failed != failures_.end())
    throw Error(failed->second.code(), failed->second.what(), failed->second.hint());
}

void VolumeCache::evict(size_t keep) {
  while (bytes_ > max_bytes_) {
    auto oldest = slots_.end();
    for (auto slot = slots_.begin(); slot != slots_.end(); ++slot) {
      if (slot->first != keep && slot->second.volume &&
          (oldest == slots_.end() || slot->second.last_used < oldest->second.last_used))
        oldest = slot;
    }
    if (oldest == slots_.end()) return;
    bytes_ -= bytes_of(*oldest->second.volume);
    slots_.erase(oldest);
  }
}

}  // namespace vmae::data
