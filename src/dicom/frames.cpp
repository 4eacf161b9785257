// Native pixel data are taken as they lie. Of encapsulated ones (PS3.5 annex A.4) JPEG is decoded by
// DCMTK, a frame at a time, with the size that the stream claims compared first. Fragments of a frame
// for the other decoders: one per frame, or all of a single frame, or as the basic offset table says.
#include "frames.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcpixel.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>
#include <dcmtk/dcmdata/dctk.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "vmae/core/error.h"

namespace vmae::io {
namespace {

enum class Way { native, jpeg, rle, jpegls, jpeg2000, deflated_frame };

constexpr const char* kDamaged = "the file is probably cut off or damaged";

const std::map<std::string, Way>& ways() {
  static const std::map<std::string, Way> table{{"1.2.840.10008.1.2", Way::native},
                                                {"1.2.840.10008.1.2.1", Way::native},
                                                {"1.2.840.10008.1.2.2", Way::native},
                                                {"1.2.840.10008.1.2.1.99", Way::native},
                                                {"1.2.840.10008.1.2.5", Way::rle},
                                                {"1.2.840.10008.1.2.4.50", Way::jpeg},
                                                {"1.2.840.10008.1.2.4.51", Way::jpeg},
                                                {"1.2.840.10008.1.2.4.53", Way::jpeg},
                                                {"1.2.840.10008.1.2.4.55", Way::jpeg},
                                                {"1.2.840.10008.1.2.4.57", Way::jpeg},
                                                {"1.2.840.10008.1.2.4.70", Way::jpeg},
                                                {"1.2.840.10008.1.2.4.80", Way::jpegls},
                                                {"1.2.840.10008.1.2.4.81", Way::jpegls},
                                                {"1.2.840.10008.1.2.4.90", Way::jpeg2000},
                                                {"1.2.840.10008.1.2.4.91", Way::jpeg2000},
                                                {"1.2.840.10008.1.2.4.201", Way::jpeg2000},
                                                {"1.2.840.10008.1.2.4.202", Way::jpeg2000},
                                                {"1.2.840.10008.1.2.4.203", Way::jpeg2000},
                                                {"1.2.840.10008.1.2.8.1", Way::deflated_frame}};
  return table;
}

// Names that DCMTK 3.6.7 does not have.
std::string transfer_syntax_name(const std::string& uid) {
  if (uid == "1.2.840.10008.1.2.4.110" || uid == "1.2.840.10008.1.2.4.111" || uid == "1.2.840.10008.1.2.4.112")
    return concat("JPEG XL (", uid, ")");
  return name_of_uid(uid);
}

DcmTagKey pixel_data_tag(PixelKind kind) {
  if (kind == PixelKind::float32) return DCM_FloatPixelData;
  return kind == PixelKind::float64 ? DCM_DoubleFloatPixelData : DCM_PixelData;
}

int bits_of_number(const PixelFormat& pixels) {
  if (pixels.kind == PixelKind::float32) return 32;
  return pixels.kind == PixelKind::float64 ? 64 : pixels.bits_allocated;
}

bool inflate_raw(std::span<const uint8_t> from, size_t size, std::vector<uint8_t>& to) {
  to.resize(size);
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return false;
  stream.next_in = const_cast<Bytef*>(from.data());
  stream.avail_in = static_cast<uInt>(from.size());
  stream.next_out = to.data();
  stream.avail_out = static_cast<uInt>(size);
  inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  return stream.total_out == size;
}

}  // namespace

std::string transfer_syntax_problem(const std::string& uid) {
  if (ways().contains(uid)) return "";
  return concat("is compressed as ", transfer_syntax_name(uid), ", which is not supported");
}

JpegFrameSize jpeg_frame_size(std::span<const uint8_t> stream) {
  for (size_t i = 2; i + 10 <= stream.size();) {
    if (stream[i] != 0xFF) return {};
    const unsigned marker = stream[i + 1];
    if (marker == 0xFF) {  // fill byte
      ++i;
      continue;
    }
    const size_t length = 256U * stream[i + 2] + stream[i + 3];
    const bool is_frame = (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC);
    if (is_frame)
      return {256 * stream[i + 5] + stream[i + 6], 256 * stream[i + 7] + stream[i + 8], stream[i + 9], stream[i + 4]};
    if (marker == 0xDA || length < 2) return {};
    i += 2 + length;
  }
  return {};
}

struct FrameReader::Impl {
  const DicomFile& file;
  const DicomHeader& header;
  Way way = Way::native;
  size_t frame_bytes = 0;           // of one decoded frame, as the header says
  std::vector<uint8_t> native;      // all frames
  bool is_word_swapped = false;     // 32 bit numbers in OW of a big endian file: DCMTK swapped 16 bits at a time
  DcmPixelData* element = nullptr;  // encapsulated
  DcmPixelSequence* sequence = nullptr;
  std::vector<unsigned long> first_fragments;  // of every frame, and the one after the last
  std::vector<uint8_t> stream;

  Impl(const DicomFile& opened, const DicomHeader& read_header) : file(opened), header(read_header) {
    if (const std::string problem = transfer_syntax_problem(header.transfer_syntax); !problem.empty()) {
      fail_file(file.path, problem, "convert it to an uncompressed or losslessly compressed transfer syntax");
    }
    way = ways().at(header.transfer_syntax);
    const PixelFormat& pixels = header.pixels;
    const auto num_samples = static_cast<size_t>(pixels.rows * pixels.columns * pixels.samples);
    const int bits = bits_of_number(pixels);
    frame_bytes = bits == 1 ? (num_samples + 7) / 8 : num_samples * static_cast<size_t>(bits) / 8;
    if (is_subsampled() && way == Way::native)
      frame_bytes = static_cast<size_t>(pixels.rows) * static_cast<size_t>((pixels.columns + 1) / 2 * 4);
    if (way == Way::native || pixels.kind != PixelKind::integer) {
      way = Way::native;
      read_native();
    } else {
      open_sequence();
    }
  }

  bool is_subsampled() const {
    return header.pixels.photometric == "YBR_FULL_422" || header.pixels.photometric == "YBR_PARTIAL_422";
  }

  size_t native_bytes() const {
    const PixelFormat& pixels = header.pixels;
    if (pixels.bits_allocated == 1)
      return static_cast<size_t>(pixels.rows * pixels.columns * pixels.num_frames + 7) / 8;
    return frame_bytes * static_cast<size_t>(pixels.num_frames);
  }

  [[noreturn]] void too_short(size_t bytes) const {
    fail_file(file.path, concat("has ", bytes, " bytes of pixel data, ", native_bytes(), " are needed"), kDamaged);
  }

  // Pixels of more frames than the header says: one of several would be taken for all.
  [[noreturn]] void too_many(size_t frames) const {
    const int64_t said = header.pixels.num_frames;
    const bool is_said = file.data().tagExists(DCM_NumberOfFrames);
    fail_file(file.path,
              concat("has the pixel data of ", frames, " frames, but ",
                     is_said ? concat("its NumberOfFrames is ", said) : "no NumberOfFrames"),
              "set NumberOfFrames (0028,0008), or rows, columns and bits if they are wrong");
  }

  void read_native() {
    const PixelKind kind = header.pixels.kind;
    const DcmTagKey tag = pixel_data_tag(kind);
    DcmElement* pixel_element = nullptr;
    if (file.data().findAndGetElement(tag, pixel_element).bad() || pixel_element == nullptr)
      fail_file(file.path, "has no pixel data");
    const size_t length = pixel_element->getLength();
    if (length < native_bytes()) too_short(length);
    // one byte may be there for even length
    if (length > native_bytes() + 1 && length - native_bytes() >= frame_bytes) too_many(length / frame_bytes);
    Uint8* bytes = nullptr;
    Uint16* words = nullptr;
    Float32* floats = nullptr;
    Float64* doubles = nullptr;
    OFCondition condition = EC_Normal;
    const void* from = nullptr;
    if (kind == PixelKind::float32) {
      condition = pixel_element->getFloat32Array(floats);
      from = floats;
    } else if (kind == PixelKind::float64) {
      condition = pixel_element->getFloat64Array(doubles);
      from = doubles;
    } else if (pixel_element->getVR() == EVR_OW || pixel_element->ident() == EVR_OW) {
      condition = pixel_element->getUint16Array(words);
      from = words;
    } else {
      condition = pixel_element->getUint8Array(bytes);
      from = bytes;
    }
    if (condition.bad() || from == nullptr)
      fail_file(file.path, concat("its pixel data can't be read: ", condition.text()), kDamaged);
    native.assign(static_cast<const uint8_t*>(from), static_cast<const uint8_t*>(from) + native_bytes());
    pixel_element->compact();
    is_word_swapped =
        words != nullptr && header.pixels.bits_allocated == 32 && header.transfer_syntax == "1.2.840.10008.1.2.2";
  }

  void open_sequence() {
    DcmElement* pixel_element = nullptr;
    file.data().findAndGetElement(DCM_PixelData, pixel_element);
    element = dynamic_cast<DcmPixelData*>(pixel_element);
    if (element == nullptr) fail_file(file.path, "has no pixel data");
    E_TransferSyntax xfer = EXS_Unknown;
    const DcmRepresentationParameter* parameter = nullptr;
    element->getOriginalRepresentationKey(xfer, parameter);
    if (element->getEncapsulatedRepresentation(xfer, parameter, sequence).bad() || sequence == nullptr) {
      fail_file(file.path, "its transfer syntax is compressed, its pixel data are not", kDamaged);
    }
    const auto num_fragments = static_cast<int64_t>(sequence->card()) - 1;  // the first item is the offset table
    if (num_fragments < header.pixels.num_frames) {
      fail_file(file.path,
                concat("has ", std::max<int64_t>(num_fragments, 0), " compressed pieces for ", header.pixels.num_frames,
                       " frames"),
                kDamaged);
    }
    if (num_fragments == header.pixels.num_frames) return;
    int64_t num_begun = 0;
    for (unsigned long i = 1; i <= static_cast<unsigned long>(num_fragments); ++i)
      num_begun += begins_frame(fragment(i)) ? 1 : 0;
    if (num_begun > header.pixels.num_frames) too_many(static_cast<size_t>(num_begun));
  }

  std::span<const uint8_t> fragment(unsigned long index) const {
    DcmPixelItem* item = nullptr;
    Uint8* bytes = nullptr;
    if (sequence->getItem(item, index).bad() || item == nullptr)
      fail_file(file.path, "a piece of its compressed pixel data is missing", kDamaged);
    if (item->getLength() == 0) return {};
    if (item->getUint8Array(bytes).bad() || bytes == nullptr)
      fail_file(file.path, "its compressed pixel data end early", kDamaged);
    return {bytes, item->getLength()};
  }

  // First fragment of a frame and the one after its last; fragments count from 1.
  std::pair<unsigned long, unsigned long> fragments_of(int64_t frame) {
    if (first_fragments.empty()) find_first_fragments();
    const auto index = static_cast<size_t>(frame);
    return {first_fragments[index], first_fragments[index + 1]};
  }

  // One fragment per frame; or as the table of offsets says; or, without
  // one, each frame from a fragment that begins with a start marker.
  void find_first_fragments() {
    const unsigned long end = sequence->card();
    const auto num_frames = static_cast<size_t>(header.pixels.num_frames);
    const std::span<const uint8_t> table = num_frames > 1 ? fragment(0) : std::span<const uint8_t>{};
    std::set<uint64_t> offsets;
    for (size_t i = 0; i < num_frames && 4 * i + 4 <= table.size(); ++i) {
      uint32_t offset = 0;
      std::memcpy(&offset, table.data() + 4 * i, 4);
      offsets.insert(offset);
    }
    const auto is_first = [&](unsigned long i, uint64_t offset) {
      if (num_frames == 1) return i == 1;
      if (end - 1 == num_frames) return true;
      return offsets.empty() ? begins_stream(fragment(i)) : offsets.contains(offset);
    };
    uint64_t at = 0;
    for (unsigned long i = 1; i < end; ++i) {
      DcmPixelItem* item = nullptr;
      if (sequence->getItem(item, i).bad() || item == nullptr)
        fail_file(file.path, "a piece of its compressed pixel data is missing", kDamaged);
      if (is_first(i, at)) first_fragments.push_back(i);
      at += 8 + item->getLength();
    }
    if (first_fragments.size() != num_frames)
      fail_file(file.path, "its compressed pieces can't be told apart into frames", kDamaged);
    first_fragments.push_back(end);
  }

  // SOI of JPEG and JPEG-LS, SOC and SIZ of JPEG 2000.
  static bool begins_stream(std::span<const uint8_t> piece) {
    return piece.size() > 3 && piece[0] == 0xFF &&
           ((piece[1] == 0xD8 && piece[2] == 0xFF) || (piece[1] == 0x4F && piece[2] == 0xFF && piece[3] == 0x51));
  }

  // As above, or the header of run lengths: the number of segments,
  // the first of which lies behind the 64 bytes of the header.
  bool begins_frame(std::span<const uint8_t> piece) const {
    if (way != Way::rle) return begins_stream(piece);
    return piece.size() >= 64 && piece[0] >= 1 && piece[0] <= 15 && piece[1] == 0 && piece[2] == 0 && piece[3] == 0 &&
           piece[4] == 64 && piece[5] == 0;
  }

  void gather(int64_t frame) {
    const auto [first, last] = fragments_of(frame);
    stream.clear();
    for (unsigned long i = first; i < last; ++i) {
      const std::span<const uint8_t> piece = fragment(i);
      stream.insert(stream.end(), piece.begin(), piece.end());
    }
    if (stream.empty()) fail_file(file.path, "has a frame without compressed pixel data", kDamaged);
  }

  void describe(RawFrame& to) const {
    const PixelFormat& pixels = header.pixels;
    to.bits_allocated = bits_of_number(pixels);
    to.bits_stored = pixels.bits_stored;
    to.high_bit = pixels.high_bit;
    to.is_by_plane = pixels.is_by_plane;
    to.photometric = pixels.photometric;
  }

  void read_native_frame(int64_t frame, RawFrame& to) const {
    if (header.pixels.bits_allocated == 1) {  // frames follow each other bit by bit
      const auto bits = static_cast<size_t>(header.pixels.rows * header.pixels.columns);
      const size_t begin = bits * static_cast<size_t>(frame);
      to.bytes.assign(frame_bytes, 0);
      for (size_t i = 0; i < bits; ++i) {
        const size_t from = begin + i;
        if (native[from / 8] >> (from % 8) & 1) to.bytes[i / 8] = static_cast<uint8_t>(to.bytes[i / 8] | 1U << (i % 8));
      }
      return;
    }
    const uint8_t* from = native.data() + frame_bytes * static_cast<size_t>(frame);
    to.bytes.assign(from, from + frame_bytes);
    if (!is_word_swapped) return;
    for (size_t i = 0; i + 4 <= to.bytes.size(); i += 4) {
      std::swap(to.bytes[i], to.bytes[i + 2]);
      std::swap(to.bytes[i + 1], to.bytes[i + 3]);
    }
  }

  void read_jpeg(int64_t frame, RawFrame& to) {
    const PixelFormat& pixels = header.pixels;
    const JpegFrameSize size = jpeg_frame_size(stream);
    if (size.rows != pixels.rows || size.columns != pixels.columns || size.components != pixels.samples) {
      fail_file(file.path,
                concat("its JPEG stream has ", size.columns, " x ", size.rows, " pixels of ", size.components,
                       " components, its header says ", pixels.columns, " x ", pixels.rows, " of ", pixels.samples),
                kDamaged);
    }
    if (size.precision > pixels.bits_allocated) {
      fail_file(file.path,
                concat("its JPEG stream has ", size.precision, " bits, its header allocates ", pixels.bits_allocated),
                kDamaged);
    }
    if (size.precision <= 8 && pixels.bits_allocated > 8) to.bits_allocated = 8;
    to.bytes.assign(frame_bytes + frame_bytes % 2, 0);
    OFString colour;
    auto first_fragment = static_cast<Uint32>(fragments_of(frame).first);  // DCMTK would go on from the frame before
    const OFCondition condition =
        element->getUncompressedFrame(&file.data(), static_cast<Uint32>(frame), first_fragment, to.bytes.data(),
                                      static_cast<Uint32>(to.bytes.size()), colour);
    if (condition.bad()) {
      fail_file(file.path,
                concat("its compressed pixel data can't be decoded (", transfer_syntax_name(header.transfer_syntax),
                       "): ", condition.text()),
                kDamaged);
    }
    to.photometric = std::string(trim(colour.c_str()));
  }

  void read_deflated(RawFrame& to) const {
    // Deflate makes 1032 bytes of one at most: before memory is taken.
    if (frame_bytes / 1100 > stream.size() || !inflate_raw(stream, frame_bytes, to.bytes))
      fail_file(file.path, "its deflated frames can't be inflated", kDamaged);
  }

  void read(int64_t frame, RawFrame& to) {
    describe(to);
    if (way == Way::native) return read_native_frame(frame, to);
    gather(frame);
    switch (way) {
      case Way::rle:
        return decode_rle(stream, header.pixels, file.path, to);
      case Way::jpegls:
        return decode_jpegls(stream, header.pixels, file.path, to);
      case Way::jpeg2000:
        return decode_jpeg2000(stream, header.pixels, file.path, to);
      case Way::deflated_frame:
        return read_deflated(to);
      default:
        return read_jpeg(frame, to);
    }
  }
};

FrameReader::FrameReader(const DicomFile& file, const DicomHeader& header)
    : impl_(std::make_unique<Impl>(file, header)) {}
FrameReader::~FrameReader() = default;
void FrameReader::read(int64_t frame, RawFrame& to) { impl_->read(frame, to); }

}  // namespace vmae::io
