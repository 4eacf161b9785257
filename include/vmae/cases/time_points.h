#pragma once
// Files that hold several volumes: each is a case of its own, "NAME#t0", "NAME#t1", ...
#include <vector>

#include "vmae/cases/source_file.h"

namespace vmae::io {

// Every volume of a 4-D file as a file of its own. What can't be read stays as it is, and fails when it is read.
std::vector<SourceFile> with_time_points(const std::vector<SourceFile>& files);

// The same of those files whose mask has a volume for each time point;
// of the others all time points have one mask, and they stay one case.
std::vector<SourceFile> with_masks_of_time_points(const std::vector<SourceFile>& files);

}  // namespace vmae::io
