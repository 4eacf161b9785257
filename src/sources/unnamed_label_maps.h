#pragma once
// Label maps of a tree that no name tells: they would be taken as images.
#include "vmae/sources/source.h"

namespace vmae::io {

// Adds a remark for all files of one word ("p1/lesion" and "p2/lesion", "p1_lesion" and
// "p2_lesion") of which some, looked at, hold at most 16 whole numbers, 0 among them, while other
// files of the source do not. What is looked at: of the eight largest such groups three files each.
// They stay images: values prove nothing (counts, drawings), and whose mask they are is not known.
void tell_of_unnamed_label_maps(Source& source);

}  // namespace vmae::io
