#pragma once
// What this thread has allocated with operator new so far; always 0 under the sanitizers, which have their own.
#include <cstdint>

namespace vmae::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCountsAllocations = false;
#else
constexpr bool kCountsAllocations = true;
#endif
int64_t num_allocations();

}  // namespace vmae::test
