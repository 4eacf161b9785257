#include "allocations.h"

#include <cstdlib>
#include <new>

namespace {
thread_local int64_t count = 0;
}

namespace vmae::test {
int64_t num_allocations() { return count; }
}  // namespace vmae::test

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void* operator new(size_t size) {
  ++count;
  if (void* memory = std::malloc(size > 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif
