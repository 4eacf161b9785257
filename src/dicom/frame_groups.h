#pragma once
// What a file says of each of its frames, be it one.
#include <vector>

#include "file.h"
#include "header.h"

namespace vmae::io {

// A value of a frame is looked for in the frame's own functional groups,
// then in the shared ones, then in the data set (DICOM PS3.3, C.7.6.16).
class FrameGroups {
 public:
  explicit FrameGroups(DcmItem& data);
  bool is_enhanced() const { return shared_ != nullptr || !own_.empty(); }
  // The frame's item of a macro, or the data set.
  DcmItem* find(size_t frame, const DcmTagKey& macro);

 private:
  DcmItem& data_;
  DcmItem* shared_ = nullptr;
  std::vector<DcmItem*> own_;
};

// DicomHeader::key_names, and of each frame its keys and its place_index. header: with its pixels and frames.
void read_keys(DcmItem& data, FrameGroups& groups, DicomHeader& header);

}  // namespace vmae::io
