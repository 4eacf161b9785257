#pragma once
// What is worth telling about a source, in the log: columns that are
// not used, masks without images, patients that are not known, ....
#include "vmae/sources/source.h"

namespace vmae::run {

// A line for each kind of remark, with the first file that it is about; what
// was left out as a warning. No path of the source, which may say whose it is.
void log_remarks(const io::Source& source);

}  // namespace vmae::run
