#include "seg_frames.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <algorithm>
#include <cmath>

#include "../pixels.h"
#include "../sop_class.h"
#include "vmae/core/error.h"
#include "vmae/core/text.h"

namespace vmae::io {
namespace {

// The segment number of each frame: in its functional groups, or the shared ones.
std::vector<std::optional<int64_t>> segments_of_frames(DcmItem& data, size_t num_frames) {
  const auto number_in = [](DcmItem* group) -> std::optional<int64_t> {
    DcmItem* const item = group != nullptr ? item_of(*group, DCM_SegmentIdentificationSequence) : nullptr;
    const std::optional<double> number = item != nullptr ? number_of(*item, DCM_ReferencedSegmentNumber) : std::nullopt;
    if (!number || !(std::abs(*number) < 1e9)) return {};
    return static_cast<int64_t>(*number);
  };
  const std::optional<int64_t> shared = number_in(item_of(data, DCM_SharedFunctionalGroupsSequence));
  const std::vector<DcmItem*> groups = items_of(data, DCM_PerFrameFunctionalGroupsSequence);
  std::vector<std::optional<int64_t>> numbers;
  for (size_t i = 0; i < num_frames; ++i) {
    const std::optional<int64_t> own = number_in(i < groups.size() ? groups[i] : nullptr);
    numbers.push_back(own ? own : shared);
  }
  return numbers;
}

std::string type_of(const DicomFile& file, const DicomHeader& header) {
  const std::string type = text_of(file.data(), DCM_SegmentationType);
  if (!type.empty()) return type;
  return header.sop_class == kLabelMapSegmentation ? "LABELMAP" : "BINARY";
}

// A label map's palette says how its numbers are to be shown.
DicomHeader without_palette(DicomHeader header) {
  if (header.pixels.photometric == "PALETTE COLOR") header.pixels.photometric = "MONOCHROME2";
  header.pixels.palette_bits = 0;
  return header;
}

}  // namespace

std::optional<int64_t> background_segment(const DicomFile& file, const DicomHeader& header) {
  if (header.kind != DicomKind::seg || type_of(file, header) != "LABELMAP") return {};
  return header.padding ? static_cast<int64_t>((*header.padding)[0])
                        : static_cast<int64_t>(number_of(file.data(), DCM_PixelPaddingValue).value_or(0));
}

SegFrames seg_frames(const DicomFile& file, const DicomHeader& header, const std::vector<std::string>& names) {
  const PixelFormat& pixels = header.pixels;
  const std::string type = type_of(file, header);
  const bool is_label_map = type == "LABELMAP";
  if (!is_label_map && type != "BINARY" && type != "FRACTIONAL")
    fail_file(file.path, concat("is a segmentation of an unknown kind: '", type.substr(0, 16), "'"));
  if (pixels.rows == 0 || pixels.samples != 1 || pixels.kind != PixelKind::integer ||
      (!is_label_map && !is_grey(pixels)))
    fail_file(file.path, "is a segmentation without pixels that could be segments");
  if (pixels.bits_allocated > (is_label_map ? 16 : 8))
    fail_file(file.path, concat("is a segmentation of kind ", type, " with ", pixels.bits_allocated,
                                " bits per pixel, which is not supported"));
  const StructureNames available = structure_names_of(file, header);
  const LabelChoice choice = choose_labels(available, names, file.path);
  SegFrames frames;
  frames.names = choice.names;
  frames.remarks = available.remarks;
  frames.is_label_map = is_label_map;
  if (is_label_map) {
    for (const auto& [number, name] : available.of) frames.label_of[number] = choice.label[name];
    frames.label_of[*background_segment(file, header)] = 0;
    if (frames.label_of.emplace(0, 0).second)
      frames.remarks.push_back("the value 0, which is no segment of it, is background");
    for (size_t i = 0; i < header.frames.size(); ++i) frames.order.emplace_back(uint8_t{0}, i);
    return frames;
  }
  if (type == "FRACTIONAL") frames.threshold = number_of(file.data(), DCM_MaximumFractionalValue).value_or(255) / 2;
  const std::vector<std::optional<int64_t>> segments = segments_of_frames(file.data(), header.frames.size());
  for (size_t i = 0; i < header.frames.size(); ++i) {
    if (!segments[i] && available.of.size() != 1)
      fail_file(file.path, concat("does not say of which segment its frame ", i + 1, " is"));
    const size_t item = segments[i] ? available.item_of(*segments[i]) : 0;
    if (item == available.of.size())
      fail_file(file.path, concat("has a frame of segment ", *segments[i], ", which it does not describe"));
    if (const uint8_t label = choice.label[available.of[item].second]; label != 0) frames.order.emplace_back(label, i);
  }
  std::sort(frames.order.begin(), frames.order.end());
  return frames;
}

SegPixels::SegPixels(const DicomFile& file, const DicomHeader& header, const SegFrames& frames)
    : file_(file),
      header_(without_palette(header)),
      frames_(frames),
      reader_(file, header_),
      stored_(static_cast<size_t>(header.pixels.rows * header.pixels.columns) *
              size_of(stored_type_of(header_.pixels))),
      numbers_(static_cast<size_t>(header.pixels.rows * header.pixels.columns)),
      table_(frames.is_label_map ? 65536 : 0, -1) {
  for (const auto& [number, label] : frames.label_of) {
    if (number >= 0 && number < 65536 && frames.is_label_map) table_[static_cast<size_t>(number)] = label;
  }
}

void SegPixels::read(size_t frame) {
  reader_.read(static_cast<int64_t>(frame), raw_);
  unpack_frame(raw_, header_.pixels, {}, file_.path, stored_.data());
  visit(stored_type_of(header_.pixels), [&]<class Stored>(Stored) {
    const auto* const from = reinterpret_cast<const Stored*>(stored_.data());
    std::transform(from, from + numbers_.size(), numbers_.begin(),
                   [](Stored number) { return static_cast<int32_t>(number); });
  });
}

void SegPixels::fail_unknown(int32_t number) const {
  fail_file(file_.path,
            concat("is a label map segmentation that holds the value ", number, ", which is none of its segments"),
            "describe it as a segment, or set it to the background");
}

SegReferences::SegReferences(const DicomFile& file)
    : path_(file.path), groups_(items_of(file.data(), DCM_PerFrameFunctionalGroupsSequence)) {}

std::vector<std::string> SegReferences::of(size_t frame) const {
  std::vector<std::string> references;
  if (frame >= groups_.size()) return references;
  for (DcmItem* const derivation : items_of(*groups_[frame], DCM_DerivationImageSequence)) {
    for (std::string& reference : references_in(*derivation, DCM_SourceImageSequence))
      references.push_back(std::move(reference));
  }
  return references;
}

std::vector<std::string> SegReferences::needed_of(size_t frame) const {
  std::vector<std::string> references = of(frame);
  if (references.empty()) fail_file(path_, "does not say where its frames lie, nor what they were made from");
  return references;
}

}  // namespace vmae::io
