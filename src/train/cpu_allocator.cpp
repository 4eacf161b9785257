// Sizes are rounded up to classes an eighth of a power of two apart (at most 12.5 % waste). Small
// blocks go to aligned_alloc; from 1 MiB on, a block is its own mapping, advised to use huge pages. A
// released block goes to its class's free list. When the free lists hold more than one and a half
// times what was ever in use at once (sizes have changed), everything unused goes back to the system.
#include "vmae/train/cpu_allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

namespace vmae::train {

namespace {

constexpr size_t kAlignment = 64, kLarge = size_t{1} << 20, kHugePage = size_t{2} << 20;

size_t size_class(size_t bytes) {
  if (bytes <= 1024) return (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  const size_t step = std::bit_floor(bytes - 1) / 8;
  return (bytes + step - 1) / step * step;
}

class CachingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* data = bytes == 0 ? nullptr : take(bytes);
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};  // oneDNN's convolution needs data == context
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
  uint64_t peak_bytes() {
    const std::lock_guard lock(mutex_);
    return peak_;
  }

 private:
  void* take(size_t bytes) {
    const size_t size = size_class(bytes);
    const std::lock_guard lock(mutex_);
    auto& free_blocks = free_[size];
    void* data = nullptr;
    if (!free_blocks.empty()) {
      data = free_blocks.back();
      free_blocks.pop_back();
      cached_ -= size;
    } else {
      data = create(size);
      if (data == nullptr && cached_ > 0) {
        trim();
        data = create(size);
      }
      if (data == nullptr) throw std::bad_alloc();
    }
    sizes_.emplace(data, size);
    in_use_ += size;
    peak_ = std::max(peak_, in_use_);
    return data;
  }

  static void* create(size_t size) {
    if (size < kLarge) return std::aligned_alloc(kAlignment, size);
    void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return nullptr;
    if (size >= kHugePage) madvise(data, size, MADV_HUGEPAGE);
    return data;
  }

  static void destroy(void* data, size_t size) { size < kLarge ? std::free(data) : void(munmap(data, size)); }

  static void release(void* data);

  void give_back(void* data) {
    const std::lock_guard lock(mutex_);
    const auto found = sizes_.find(data);
    const size_t size = found->second;
    sizes_.erase(found);
    in_use_ -= size;
    free_[size].push_back(data);
    cached_ += size;
    if (cached_ > peak_ / 2 * 3 && cached_ > (size_t{256} << 20)) trim();
  }

  void trim() {
    for (auto& [size, blocks] : free_) {
      for (void* data : blocks) destroy(data, size);
      blocks.clear();
    }
    cached_ = 0;
  }

  std::mutex mutex_;
  std::unordered_map<size_t, std::vector<void*>> free_;  // by size class
  std::unordered_map<void*, size_t> sizes_;              // of blocks in use
  uint64_t in_use_ = 0, cached_ = 0, peak_ = 0;
};

CachingAllocator* installed = nullptr;  // never destroyed: tensors with static lifetime outlive main

void CachingAllocator::release(void* data) {
  if (data != nullptr) installed->give_back(data);
}

}  // namespace

void install_cpu_allocator() {
  if (installed != nullptr) return;
  installed = new CachingAllocator();
  c10::SetCPUAllocator(installed, /*priority=*/100);
}

uint64_t cpu_allocator_peak_bytes() { return installed == nullptr ? 0 : installed->peak_bytes(); }

}  // namespace vmae::train
