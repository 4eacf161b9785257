#pragma once
// Which volumes masks were drawn on.
#include <vector>

#include "grouped.h"

namespace vmae::io {

// Of each of `masks`, adds its number to the volumes that it was drawn on, or says in `described` why it is of none.
// Volumes with one mask get its remarks, on the grid of their slices, which they lose.
void add_masks(const std::vector<const Scanned*>& masks, std::vector<Grouped>& groups,
               std::vector<DicomMask>& described);

}  // namespace vmae::io
