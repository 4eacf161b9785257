#pragma once
// Slices of one series as volumes: those that lie at the same places, or between each
// other, are told apart, by one rule for single images and for the frames of a file.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "../header.h"

namespace vmae::io {

// A slice, where it lies along the normal of its stack (mm, or a count of
// places), and what may tell it from others at that place (as DicomFrame::keys).
struct StackSlice {
  size_t index;  // lower ones come first where nothing else decides
  double place;
  const std::vector<std::string>* keys;
};

constexpr double kSamePlace = 1e-3;

using Values = std::vector<std::string>;  // of keys

// Numbers by value, others as text.
struct ValueOrder {
  bool operator()(const Values& a, const Values& b) const;
};

// Runs of slices at one place, which may be written with different rounding
// (up to 0.02, and a tenth of the step between places); `sorted` by place.
std::vector<std::vector<StackSlice>> by_place(const std::vector<StackSlice>& sorted);

struct ToldApart {
  std::vector<std::vector<size_t>> volumes;  // indices in the order of places; each place once at most
  // the names of the keys that did it ("EchoTime"); empty: nothing did, or there was no need
  std::vector<std::string> by;
  bool share_places = true;             // false: some lie between others
  std::vector<std::string> alternates;  // of each volume: what takes turns along it, or ""
};

// Into as few volumes as the fullest place has slices: by the first key that does it, else by
// the first keys together; else by a key that leaves no place twice and no slice alone; else,
// unless `needs_key`, the first slice of every place, the second, ... Then each of them,
// where it is several that lie between each other (tell_interleaved). `sorted` by place.
ToldApart tell_apart(const std::vector<StackSlice>& sorted, const std::vector<std::string>& key_names,
                     bool needs_key = false);

// Of a volume: "volume 2 of 3 at the same place, told apart by EchoTime", and what is odd about its keys.
std::vector<std::string> volume_remarks(const ToldApart& told, size_t index);

bool have_equal_spacing(const DicomFrame& a, const DicomFrame& b);

// The frames of one file: those that lie in planes of one direction and pixel spacing, told apart as above.
// Frames without places, and frames that all lie at one place (films), are one volume in the order of the file.
struct FrameVolume {
  std::vector<size_t> frames;  // in the order of z
  std::vector<std::string> remarks;
};
std::vector<FrameVolume> frame_volumes(const DicomHeader& header);

// The frames of one of them; nothing: of the only one. Throws Error(data) if there are several, or not as many.
std::vector<size_t> frames_of(const DicomHeader& header, std::optional<int64_t> volume,
                              const std::filesystem::path& path);

// A slice of an image, and how masks refer to it.
struct SourceSlice {
  std::string sop_class, sop_instance;
  int64_t frame_number = 0;  // from 1; 0: the file has one frame
  DicomFrame frame;
};

// How masks may refer to this very slice: "UID/frame", or, of the only frame of a file, "UID" and "UID/1".
std::vector<std::string> references_to(const SourceSlice& slice);

// The slices of read_dicom(files, volume), in its order.
std::vector<SourceSlice> source_slices(const std::vector<std::filesystem::path>& files, std::optional<int64_t> volume);
void add_slices(const DicomHeader& header, const std::vector<size_t>& frames, std::vector<SourceSlice>& slices);

// Whether each slice has a plane of its own, all parallel, at different places.
bool lie_apart(const std::vector<SourceSlice>& slices);

}  // namespace vmae::io
