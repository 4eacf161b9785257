// PS3.3 C.7.6.3.1.5 and, for segmented tables, C.7.9.2: segments of opcode, length
// and data; 0 discrete, 1 linear from the value before, 2 indirect (an earlier part).
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <cmath>

#include "pixels.h"
#include "vmae/core/error.h"

namespace vmae::io {
namespace {

constexpr const char* kBadPalette = "the file is damaged";

std::vector<uint16_t> words_of(DcmItem& data, const DcmTagKey& tag) {
  DcmElement* element = nullptr;
  if (data.findAndGetElement(tag, element).bad() || element == nullptr || element->getLength() < 2) return {};
  const size_t length = element->getLength();
  Uint16* words = nullptr;
  Uint8* bytes = nullptr;
  const void* from = nullptr;
  if (element->getUint16Array(words).good()) {
    from = words;
  } else if (element->getUint8Array(bytes).good()) {
    from = bytes;
  }
  if (from == nullptr) return {};
  std::vector<uint16_t> result(length / 2);
  std::memcpy(result.data(), from, result.size() * 2);
  return result;
}

// Entries of 8 bit lie two to a word, low byte first; some files spend a word on each.
std::vector<uint16_t> entries_of(const std::vector<uint16_t>& words, size_t count, bool is_8_bit) {
  if (words.size() >= count) return {words.begin(), words.begin() + static_cast<std::ptrdiff_t>(count)};
  if (!is_8_bit || words.size() * 2 < count) return {};
  std::vector<uint16_t> entries(count);
  for (size_t i = 0; i < count; ++i) entries[i] = static_cast<uint16_t>(words[i / 2] >> (8 * (i % 2)) & 0xFF);
  return entries;
}

bool expand(const std::vector<uint16_t>& words, size_t begin, size_t num_segments, size_t count, int depth,
            std::vector<uint16_t>& to) {
  for (size_t at = begin; num_segments > 0 && to.size() < count; --num_segments) {
    if (at + 2 >= words.size()) return false;
    const unsigned opcode = words[at];
    const size_t length = words[at + 1];
    if (opcode == 0) {
      if (words.size() - at - 2 < length) return false;
      to.insert(to.end(), words.begin() + static_cast<std::ptrdiff_t>(at + 2),
                words.begin() + static_cast<std::ptrdiff_t>(at + 2 + length));
      at += 2 + length;
    } else if (opcode == 1) {
      if (to.empty()) return false;
      const double from = to.back(), step = (words[at + 2] - from) / static_cast<double>(std::max<size_t>(length, 1));
      for (size_t i = 1; i <= length; ++i)
        to.push_back(static_cast<uint16_t>(std::lround(from + step * static_cast<double>(i))));
      at += 3;
    } else if (opcode == 2 && depth == 0) {
      if (at + 3 >= words.size()) return false;
      const size_t offset = words[at + 2] + 65536U * words[at + 3];  // bytes
      if (offset % 2 != 0 || !expand(words, offset / 2, length, count, depth + 1, to)) return false;
      at += 4;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

Palette read_palette(const DicomFile& file, bool is_signed) {
  struct Tags {
    DcmTagKey descriptor, data, segmented;
  };
  const std::array<Tags, 3> kTags{{{DCM_RedPaletteColorLookupTableDescriptor, DCM_RedPaletteColorLookupTableData,
                                    DCM_SegmentedRedPaletteColorLookupTableData},
                                   {DCM_GreenPaletteColorLookupTableDescriptor, DCM_GreenPaletteColorLookupTableData,
                                    DCM_SegmentedGreenPaletteColorLookupTableData},
                                   {DCM_BluePaletteColorLookupTableDescriptor, DCM_BluePaletteColorLookupTableData,
                                    DCM_SegmentedBluePaletteColorLookupTableData}}};
  Palette palette;
  for (size_t c = 0; c < 3; ++c) {
    const std::vector<double> descriptor = numbers_of(file.data(), kTags[c].descriptor);
    if (descriptor.size() != 3) fail_file(file.path, "has palette colour without a palette", kBadPalette);
    const auto raw_count = static_cast<uint16_t>(static_cast<int64_t>(descriptor[0]));
    const size_t count = raw_count == 0 ? 65536 : raw_count;
    const auto first = static_cast<uint16_t>(static_cast<int64_t>(descriptor[1]));
    palette.first[c] = is_signed ? static_cast<int64_t>(static_cast<int16_t>(first)) : static_cast<int64_t>(first);
    if (file.data().tagExists(kTags[c].segmented)) {
      std::vector<uint16_t>& entries = palette.entries[c];
      if (!expand(words_of(file.data(), kTags[c].segmented), 0, 65536, count, 0, entries)) entries.clear();
      entries.resize(std::min(entries.size(), count));
    } else {
      palette.entries[c] = entries_of(words_of(file.data(), kTags[c].data), count, descriptor[2] <= 8);
    }
    if (palette.entries[c].empty()) fail_file(file.path, "its palette is shorter than it says", kBadPalette);
  }
  return palette;
}

}  // namespace vmae::io
