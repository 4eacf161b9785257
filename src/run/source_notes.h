#pragma once
// What is worth telling about a source, in the log: columns that are not used, masks without images, patients that are not known, ....
#include <string>

#include "vmae/io/source.h"

namespace vmae::run {

// One line for each kind of remark, with the first file that it is about. path: of the source.
void log_remarks(const io::Source& source, const std::string& path);

}  // namespace vmae::run
