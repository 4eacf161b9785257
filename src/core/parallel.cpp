#include "vmae/core/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "vmae/core/machine.h"

namespace vmae {

void parallel_for(int64_t n, int threads, const std::function<void(int64_t)>& f) {
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  int64_t failed_at = n;
  std::exception_ptr failure;
  const auto work = [&] {
    for (int64_t i = next++; i < n; i = next++) {
      try {
        f(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (i < failed_at) {
          failed_at = i;
          failure = std::current_exception();
        }
        next = n;
      }
    }
  };
  const int64_t count = std::min<int64_t>(n, threads > 0 ? threads : usable_threads());
  {
    std::vector<std::jthread> others;
    for (int64_t i = 1; i < count; ++i) others.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace vmae
