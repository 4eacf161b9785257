#pragma once
// What stands in a segmentation, apart from where it lies.
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "dicom_frames.h"
#include "dicom_masks.h"

namespace vmae::io {

struct SegFrames {
  std::vector<std::string> names;                 // of labels 1, 2, ...
  std::vector<std::pair<uint8_t, size_t>> order;  // label, frame: to be painted in this order, so later labels win
  double threshold = 1;                           // from which number on a pixel belongs to its segment
};

// `names`: as for read_dicom_mask. Throws Error(data): no pixels, a kind that is not supported, a name that is unknown, frames of unknown segments.
SegFrames seg_frames(const DicomFile& file, const DicomHeader& header, const std::vector<std::string>& names);

class SegPixels {
 public:
  SegPixels(const DicomFile& file, const DicomHeader& header, double threshold);
  // Calls paint(column, row) for every pixel of the frame that belongs to its segment.
  template <class Paint>
  void each(size_t frame, Paint&& paint) {
    read(frame);
    for (int64_t row = 0, i = 0; row < header_.pixels.rows; ++row) {
      for (int64_t column = 0; column < header_.pixels.columns; ++column, ++i) {
        if (std::to_integer<int>(numbers_[static_cast<size_t>(i)]) >= threshold_) paint(column, row);
      }
    }
  }

 private:
  void read(size_t frame);

  const DicomFile& file_;
  const DicomHeader& header_;
  const double threshold_;
  FrameReader reader_;
  RawFrame raw_;
  std::vector<std::byte> numbers_;
};

// What a frame without a place was made from: UID of the image, and number of its frame or "". Throws Error(data) if it does not say.
struct SegReference {
  std::string uid, frame;
};
SegReference reference_of(const DicomFile& file, size_t frame);

}  // namespace vmae::io
