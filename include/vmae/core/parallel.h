#pragma once
#include <cstdint>
#include <functional>

namespace vmae {

// f(i) for every i in [0, n), on up to `threads` threads (0: usable_threads()). Which thread
// takes which i is left open, so f writes to places that belong to i alone. After an exception
// no further i is begun; that of the lowest i is thrown once all threads have ended.
void parallel_for(int64_t n, int threads, const std::function<void(int64_t)>& f);

}  // namespace vmae
