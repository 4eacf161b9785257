#pragma once
// What stands in a segmentation, apart from where it lies. Its kinds (SegmentationType, PS3.3 C.8.20): BINARY
// and FRACTIONAL, where every frame is of one segment, and LABELMAP, whose pixels are numbers of segments.
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../frames.h"
#include "mask_grid.h"

namespace vmae::io {

struct SegFrames {
  std::vector<std::string> names;  // of labels 1, 2, ...
  // label, frame: to be painted in this order, so later labels win; of a label map label 0, all frames
  std::vector<std::pair<uint8_t, size_t>> order;
  double threshold = 1;  // from which number on a pixel belongs to its segment
  bool is_label_map = false;
  // label map: of its numbers; 0 for background and for segments that are not wanted
  std::map<int64_t, uint8_t> label_of;
  std::vector<std::string> remarks;
};

// The number that is no segment of a label map: PixelPaddingValue, or 0. Nothing of other kinds.
std::optional<int64_t> background_segment(const DicomFile& file, const DicomHeader& header);

// `names`: as for read_dicom_mask. Throws Error(data): no pixels, a kind
// that is not supported, a name that is unknown, frames of unknown segments.
SegFrames seg_frames(const DicomFile& file, const DicomHeader& header, const std::vector<std::string>& names);

class SegPixels {
 public:
  SegPixels(const DicomFile& file, const DicomHeader& header, const SegFrames& frames);
  // Calls paint(column, row, label) for every pixel of the frame that belongs to a segment. `label`:
  // of frames.order. Throws Error(data): a label map holds a number that is none of its segments.
  template <class Paint>
  void each(size_t frame, uint8_t label, Paint&& paint) {
    read(frame);
    for (int64_t row = 0, i = 0; row < header_.pixels.rows; ++row) {
      for (int64_t column = 0; column < header_.pixels.columns; ++column, ++i) {
        const int32_t number = numbers_[static_cast<size_t>(i)];
        if (frames_.is_label_map) {
          if (const uint8_t named = label_of(number); named != 0) paint(column, row, named);
        } else if (number >= frames_.threshold) {
          paint(column, row, label);
        }
      }
    }
  }

 private:
  void read(size_t frame);
  uint8_t label_of(int32_t number) const {
    if (number < 0 || table_[static_cast<size_t>(number)] < 0) fail_unknown(number);
    return static_cast<uint8_t>(table_[static_cast<size_t>(number)]);
  }
  [[noreturn]] void fail_unknown(int32_t number) const;

  const DicomFile& file_;
  const DicomHeader header_;  // a palette of a label map only says how to show it
  const SegFrames& frames_;
  FrameReader reader_;
  RawFrame raw_;
  std::vector<std::byte> stored_;
  std::vector<int32_t> numbers_;
  std::vector<int16_t> table_;  // label map: of its numbers; -1 where there is no such segment
};

// What frames were made from: images as image_reference names
// them. needed_of throws Error(data) if the file does not say.
class SegReferences {
 public:
  explicit SegReferences(const DicomFile& file);
  std::vector<std::string> of(size_t frame) const;
  std::vector<std::string> needed_of(size_t frame) const;

 private:
  std::filesystem::path path_;
  std::vector<DcmItem*> groups_;
};

}  // namespace vmae::io
