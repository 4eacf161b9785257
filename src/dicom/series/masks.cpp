#include "mask_grid.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcspchrs.h>
#include <dcmtk/dcmdata/dctk.h>

#include <algorithm>
#include <cmath>

#include "geometry.h"
#include "seg_frames.h"
#include "vmae/core/error.h"

namespace vmae::io {
namespace {

constexpr size_t kShown = 5;  // names, and pairs of names, in a remark

std::string utf8_of_latin1(const std::string& text) {
  std::string utf8;
  for (const char byte : text) {
    const auto code = static_cast<unsigned char>(byte);
    if (code < 0x80) {
      utf8 += byte;
    } else {
      utf8 += static_cast<char>(0xC0 | code >> 6);
      utf8 += static_cast<char>(0x80 | (code & 0x3F));
    }
  }
  return utf8;
}

// As the file's character set says; where that can't be, as UTF-8 if it is that, else as Latin-1.
std::string utf8_text(const DicomFile& file, DcmItem& item, const DcmTagKey& tag) {
  const std::string text = text_of(item, tag), charset = text_of(file.data(), DCM_SpecificCharacterSet);
  if (charset.empty() || charset == "ISO_IR 6" || charset == "ISO_IR 192")
    return is_utf8(text) ? text : utf8_of_latin1(text);
  DcmSpecificCharacterSet converter;
  OFString converted;
  if (DcmSpecificCharacterSet::isConversionAvailable() && converter.selectCharacterSet(file.data()).good() &&
      converter.convertString(text.c_str(), converted).good() && is_utf8(converted.c_str())) {
    return std::string(trim(converted.c_str()));
  }
  return is_utf8(text) ? text : utf8_of_latin1(text);
}

}  // namespace

std::string quoted_list(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) text += concat(i == 0 ? "'" : ", '", names[i], "'");
  return names.size() > kShown ? concat(text, " and ", names.size() - kShown, " more") : text;
}

std::vector<std::string> LabelPainter::remarks(const std::vector<std::string>& names) const {
  std::vector<std::pair<std::pair<uint8_t, uint8_t>, int64_t>> pairs(covered_.begin(), covered_.end());
  std::stable_sort(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<std::string> remarks;
  for (size_t i = 0; i < std::min(pairs.size(), kShown); ++i) {
    const auto& [labels, count] = pairs[i];
    const std::string &under = names[labels.first - 1U], &over = names[labels.second - 1U];
    remarks.push_back(concat("'", under, "' and '", over, "' overlap in ", count, count == 1 ? " voxel" : " voxels",
                             ": the mask can't say both, they are '", over, "'"));
  }
  if (pairs.size() > kShown) remarks.push_back(concat(pairs.size() - kShown, " more pairs of structures overlap"));
  return remarks;
}

Vec3 to_pixels(const DicomFrame& slice, const Vec3& point) {
  const Vec3 from_corner = minus(point, slice.plane->position);
  return {dot(from_corner, slice.plane->x) / slice.spacing_mm[0],
          dot(from_corner, slice.plane->y) / slice.spacing_mm[1], dot(from_corner, slice.plane->normal())};
}

int64_t nearest_slice(const MaskGrid& grid, const Vec3& point) {
  int64_t best = -1;
  double best_mm = grid.slice_step_mm / 2;
  for (size_t z = 0; z < grid.slices.size(); ++z) {
    const double distance_mm = std::abs(to_pixels(grid.slices[z].frame, point)[2]);
    if (distance_mm > best_mm || (best >= 0 && distance_mm == best_mm)) continue;
    best = static_cast<int64_t>(z);
    best_mm = distance_mm;
  }
  return best;
}

size_t StructureNames::item_of(int64_t number) const {
  return static_cast<size_t>(std::find_if(of.begin(), of.end(), [&](const auto& one) { return one.first == number; }) -
                             of.begin());
}

StructureNames structure_names_of(const DicomFile& file, const DicomHeader& header) {
  const bool is_rtstruct = header.kind == DicomKind::rtstruct;
  const DcmTagKey list = is_rtstruct ? DCM_StructureSetROISequence : DCM_SegmentSequence;
  const std::optional<int64_t> background = is_rtstruct ? std::nullopt : background_segment(file, header);
  StructureNames result;
  std::map<std::string, size_t> count, by_lower;
  for (size_t i = 0; i < num_items(file.data(), list); ++i) {
    DcmItem& item = *item_of(file.data(), list, i);
    const auto number =
        static_cast<int64_t>(number_of(item, is_rtstruct ? DCM_ROINumber : DCM_SegmentNumber).value_or(0));
    if (background && number == *background) continue;
    if (result.item_of(number) < result.of.size())
      fail_file(file.path,
                concat("has two ", is_rtstruct ? "structures" : "segments", " of number ", number,
                       ", which can't be told apart"),
                "give each a number of its own");
    std::string name = utf8_text(file, item, is_rtstruct ? DCM_ROIName : DCM_SegmentLabel);
    if (name.empty()) name = concat(is_rtstruct ? "ROI " : "segment ", number);
    const auto found = std::find(result.names.begin(), result.names.end(), name);
    result.of.emplace_back(number, static_cast<size_t>(found - result.names.begin()));
    if (++count[name] == 2)
      result.remarks.push_back(concat("several structures have the name '", name, "': they are one class"));
    if (found != result.names.end()) continue;
    if (const auto other = by_lower.emplace(to_lower(name), result.names.size()); !other.second)
      result.remarks.push_back(concat("the names '", result.names[other.first->second], "' and '", name,
                                      "' differ in case only: they are two classes"));
    result.names.push_back(name);
  }
  return result;
}

LabelChoice choose_labels(const StructureNames& available, const std::vector<std::string>& names,
                          const std::filesystem::path& path) {
  LabelChoice choice{names.empty() ? available.names : names, std::vector<uint8_t>(available.names.size(), 0)};
  if (choice.names.empty()) fail_file(path, "has no structures");
  if (choice.names.size() > 255)
    fail_file(path, concat("has ", choice.names.size(), " structures, 255 are supported"),
              "name those that are wanted");
  for (size_t i = 0; i < choice.names.size(); ++i) {
    const auto found = std::find(available.names.begin(), available.names.end(), trim(choice.names[i]));
    if (found == available.names.end())
      fail_file(path, concat("has no structure '", choice.names[i], "'"),
                concat("it has: ", join(available.names, ", "),
                       ". A class that prepare.structures made of several is known to the prepared dataset alone: "
                       "predict and evaluate that"));
    uint8_t& label = choice.label[static_cast<size_t>(found - available.names.begin())];
    if (label != 0)
      fail_file(path, concat("is asked for the structure '", choice.names[i], "' twice"), "name each once");
    label = static_cast<uint8_t>(i + 1);
  }
  return choice;
}

std::vector<std::string> dicom_structure_names(const std::filesystem::path& mask) {
  const DicomFile file = open_dicom(mask);
  return structure_names_of(file, read_dicom_header(file)).names;
}

std::vector<std::string> remarks_on_mask(const std::filesystem::path& path, const MaskGrid& grid) {
  try {
    const DicomFile file = open_dicom(path);
    const DicomHeader header = read_dicom_header(file);
    return (header.kind == DicomKind::seg ? read_seg(file, header, grid, {}, /*with_pixels=*/false)
                                          : read_rtstruct(file, grid, {}))
        .remarks;
  } catch (const Error& error) {
    return {
        concat("can't be used: ", reason_of(error, path), error.hint().empty() ? "" : concat(" (", error.hint(), ")"))};
  } catch (const std::exception& error) {  // too little memory
    return {concat("can't be used: ", error.what())};
  }
}

DicomLabels read_dicom_mask(const std::filesystem::path& mask, const std::vector<std::filesystem::path>& image_files,
                            const Volume& image, const std::vector<std::string>& names, std::optional<int64_t> volume) {
  const DicomFile file = open_dicom(mask);
  const DicomHeader header = read_dicom_header(file);
  if (header.kind != DicomKind::rtstruct && header.kind != DicomKind::seg) {
    if (header.kind == DicomKind::other) fail_file(mask, header.what);
    fail_file(mask, "is neither a structure set (RTSTRUCT) nor a segmentation (SEG)");
  }
  if (!may_be_same_patient(header.patient, read_dicom_header(open_dicom(image_files.at(0))).patient))
    fail_file(mask, "was drawn on an image of another patient (their PatientID differ)",
              "correct the one that is wrong");
  const MaskGrid grid{source_slices(image_files, volume), image.size[0], image.size[1], image.spacing_mm[2]};
  if (static_cast<int64_t>(grid.slices.size()) != image.size[2])
    throw Error(ExitCode::internal, "read_dicom_mask: the files are not those of the image");
  return header.kind == DicomKind::seg ? read_seg(file, header, grid, names) : read_rtstruct(file, grid, names);
}

}  // namespace vmae::io
