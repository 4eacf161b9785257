#pragma once
// Slices of several volumes that lie between each other's, so that no two are at one place.
#include <string>
#include <vector>

#include "stacks.h"

namespace vmae::io {

struct Interleaved {
  std::vector<std::vector<StackSlice>> volumes;  // each sorted by place; one: nothing says that there are several
  std::string by;                                // the keys that told them apart
  // of one volume: what takes turns along it ("slices of different EchoTime"), but need not mean another volume
  std::string alternates;
};

// `sorted` by place, each place once.
Interleaved tell_interleaved(const std::vector<StackSlice>& sorted, const std::vector<std::string>& key_names);

}  // namespace vmae::io
