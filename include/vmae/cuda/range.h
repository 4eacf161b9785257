#pragma once
// Names a part of the work in the timelines of Nsight Systems (NVTX); without a GPU and a profiler it is nothing.
#include "vmae/cuda/library.h"

namespace vmae::cuda {

class Range {
 public:
  explicit Range(const char* name) {
    if (library() != nullptr) library()->push_range(name);
  }
  ~Range() {
    if (library() != nullptr) library()->pop_range();
  }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
};

}  // namespace vmae::cuda
