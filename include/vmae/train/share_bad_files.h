#pragma once
#include <cstdint>

#include "vmae/data/quarantine.h"
#include "vmae/ranks/world.h"

namespace vmae::train {

// What one rank could not read up to the end of this epoch (-1: before the first), all
// leave out from here on, and rank 0 lists. On every rank (it talks to the others); true
// if there was anything. Alone: false, for a file is left out as often as it is met.
bool share_bad_files(World& world, data::Quarantine& bad_files, int64_t epoch);

}  // namespace vmae::train
