#pragma once
// Label maps of a tree that their names don't tell.
#include <vector>

#include "tree_entry.h"

namespace vmae::io {

// All files of one word ("p1/lesion" and "p2/lesion", or "p1_lesion" and "p2_lesion") that lie beside an image of their size and hold at most 16 whole numbers,
// 0 among them (of three of them looked at), become masks: is_mask, is_mask_by_values and base of their entries are set.
void find_label_maps_by_values(std::vector<TreeEntry>& entries);

}  // namespace vmae::io
