#pragma once
// Files that hold several volumes: each is a case of its own, "NAME#t0", "NAME#t1", ...
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"

namespace vmae::io {

SourceFile time_point_of(const SourceFile& file, int64_t t);
std::string time_point_suffix(int64_t t);  // "#t3"

// "NAME#t3" -> "NAME", and a name without such an ending as it is.
std::string without_time_point(const std::string& name);

// The file, or its time points where it has several. Of a DICOM file,
// whose volumes are listed one by one, the time point is known: one is all.
std::vector<SourceFile> time_points_of(const SourceFile& file, int64_t num_time_points);

// The file, or the time points that `has` names: as they were prepared.
std::vector<SourceFile> listed_time_points(const SourceFile& file,
                                           const std::function<bool(const std::string& name)>& has);

// Every volume of a 4-D file as a file of its own. What can't be read stays as it is, and fails when it is read.
std::vector<SourceFile> with_time_points(const std::vector<SourceFile>& files);

// The same of those files whose mask has a volume for each time point;
// of the others all time points have one mask, and they stay one case.
std::vector<SourceFile> with_masks_of_time_points(const std::vector<SourceFile>& files);

}  // namespace vmae::io
