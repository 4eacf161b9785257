#include "vmae/cases/read_image.h"

#include <algorithm>
#include <array>
#include <map>

#include "mask_volume.h"
#include "vmae/cases/channels.h"
#include "vmae/core/error.h"
#include "vmae/core/log_once.h"
#include "vmae/core/path_problem.h"
#include "vmae/dicom/group.h"
#include "vmae/dicom/kinds.h"
#include "vmae/dicom/masks.h"
#include "vmae/dicom/volume.h"
#include "vmae/image/file_name.h"
#include "vmae/image/image.h"
#include "vmae/image/modality_code.h"
#include "vmae/image/picture.h"
#include "vmae/volume/label_values.h"
#include "vmae/volume/nifti_geometry.h"
#include "vmae/volume/volume.h"
#include "vmae/volume/volume_data.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

struct DicomImage {
  std::vector<fs::path> files;  // empty: not DICOM
  int64_t volume = 0;
  VolumeHeader header{};  // where it was not listed; volumes of one file and one size are its time points
};

// A manifest may name a DICOM file, or a folder that holds one series. Of a
// file that holds several volumes each is a time point, as in a 4-D file.
DicomImage unlisted_dicom(const SourceFile& file) {
  std::error_code ignored;
  std::vector<fs::path> files;
  if (fs::is_directory(file.path, ignored)) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(file.path)) {
      if (entry.is_regular_file() && is_dicom(entry.path())) files.push_back(entry.path());
    }
  } else if (!is_volume(file.path) && !is_picture(file.path) && is_dicom(file.path)) {
    files = {file.path};
  } else {
    return {};
  }
  const DicomTree tree = group_dicom(files);
  const auto count = static_cast<int64_t>(tree.series.size());
  const bool is_one_file = count > 0 && tree.series[0].num_volumes == count;
  if (count == 0 && files.size() == 1 && !tree.refused.empty()) fail_file(file.path, tree.refused[0].reason);
  if (!is_one_file && count != 1) {
    fail_file(file.path, concat("holds ", count, " DICOM series where one image is meant"),
              "name the folder or a file of one series");
  }
  for (const DicomSeries& series : tree.series) {
    if (series.header.size != tree.series[0].header.size)
      fail_file(file.path, concat("holds ", count, " volumes of different size where one image is meant"),
                "give the folder that it lies in as the source: there each volume is an image");
  }
  const DicomSeries& series = tree.series.at(static_cast<size_t>(std::clamp<int64_t>(file.time_point, 0, count - 1)));
  DicomImage image{series.files, series.volume, series.header};
  image.header.num_time_points = count;
  return image;
}

DicomImage dicom_image(const SourceFile& file) {
  if (!file.series.empty()) return {file.series, file.time_point, {}};
  return unlisted_dicom(file);
}

std::string subject_of(const SourceFile& file) {
  return concat(file.path.string(), ": its mask ", file.mask.filename().string());
}

[[noreturn]] void fail_mask(const SourceFile& file, const std::string& what, const std::string& hint = "") {
  throw Error(ExitCode::data, subject_of(file) + " " + what, hint);
}

void check_grid(const SourceFile& file, const Volume& image, const Volume& mask) {
  const std::string hint = "resample it on the image's grid";
  if (mask.size != image.size)
    fail_mask(file, concat("has ", size_text(mask.size), " voxels, the image ", size_text(image.size)), hint);
  if (is_picture(file.mask) || is_picture(file.path)) return;  // pictures know no millimetres
  const std::string difference = place_difference({mask.spacing_mm, mask.origin_mm, mask.direction},
                                                  {image.spacing_mm, image.origin_mm, image.direction}, "image");
  if (difference.empty()) return;
  const std::string of_image = nifti_conflict(file.path, "the image"), of_mask = nifti_conflict(file.mask, "the mask");
  fail_mask(file,
            concat("lies elsewhere along ", difference, of_image.empty() ? "" : "; ", of_image,
                   of_mask.empty() ? "" : "; ", of_mask),
            of_image.empty() && of_mask.empty() ? hint : "make both forms of the file say the same");
}

const char* turned_text(int64_t of_image, int64_t of_mask) {
  if (of_mask == 1)
    return "has an orientation (EXIF) that its mask does not have: the image is turned upright, and the mask taken as "
           "drawn on the upright image";
  if (of_image == 1)
    return "has a mask with an orientation (EXIF) that the image does not have: the mask is turned upright, the image "
           "is not";
  return "has another orientation (EXIF) than its mask: each is turned upright as it says";
}

// Programs that draw masks show a photograph upright or as it is
// stored. Where sizes don't tell, the mask is taken as drawn upright.
void say_turned(const SourceFile& file, const Volume& image) {
  if (!is_picture(file.path)) return;
  const int64_t orientation = picture_orientation(file.path), of_mask = picture_orientation(file.mask);
  if (orientation == of_mask || (std::max(orientation, of_mask) >= 5 && image.size[0] != image.size[1])) return;
  log::warning_once(file.path.filename().string(), turned_text(orientation, of_mask));
}

// Numbers of a mask that names its segments, as those of `names` (all
// others: background); as they are where nothing is asked for or known.
std::vector<uint8_t> in_order_of(const std::vector<std::string>& names, const std::map<int64_t, std::string>& own,
                                 std::vector<uint8_t> labels, const std::string& subject) {
  if (names.empty() || own.empty()) return labels;
  std::array<uint8_t, 256> to{};
  for (const auto& [value, name] : own) {
    const auto at = std::find(names.begin(), names.end(), name);
    if (at != names.end()) to[static_cast<size_t>(value)] = static_cast<uint8_t>(at - names.begin() + 1);
  }
  for (uint8_t& label : labels) {
    if (label > 0 && !own.contains(label))
      throw Error(ExitCode::data,
                  concat(subject, " holds the value ", int{label}, ", which no segment of its header has"));
    label = to[label];
  }
  return labels;
}

}  // namespace

Volume read_image(const SourceFile& file) {
  Volume volume;
  if (const DicomImage dicom = dicom_image(file); !dicom.files.empty()) {
    volume = read_dicom(dicom.files, dicom.volume);
    volume.modality = dicom_modality(volume.modality);
  } else {
    volume = is_picture(file.path) ? picture_volume(file.path) : read_volume(file.path, file.time_point);
  }
  if (!file.modality.empty()) volume.modality = file.modality;
  // Of a volume without a header that says more (DICOM says its
  // units itself), which a stack of more than 8 bits is too.
  const bool is_stack =
      is_picture(file.path) && volume.size[2] > 1 && volume.channels == 1 && volume.type != StoredType::u8;
  if (volume.modality == "CT" && volume.units == Units::raw && (is_volume(file.path) || is_stack))
    volume.units = Units::hu;
  return volume;
}

std::vector<std::filesystem::path> files_read_with(const std::filesystem::path& path) {
  std::vector<std::filesystem::path> files{path}, others;
  if (is_picture(path) && ending_of(path).starts_with(".tif")) {
    others = spacing_files(path);
  } else if (is_volume(path)) {
    others = voxel_files(path);
  }
  std::error_code ignored;
  for (const std::filesystem::path& other : others) {
    if (other != path && std::filesystem::is_regular_file(other, ignored)) files.push_back(other);
  }
  return files;
}

namespace {

std::optional<VolumeHeader> header_of_one(const SourceFile& file) {
  if (is_volume(file.path)) return read_volume_header(file.path);
  if (!file.series.empty()) {
    const DicomTree tree = group_dicom(file.series);
    if (tree.series.empty()) fail_file(file.path, tree.refused.empty() ? "is no DICOM image" : tree.refused[0].reason);
    const auto found = std::find_if(tree.series.begin(), tree.series.end(),
                                    [&](const DicomSeries& series) { return series.volume == file.time_point; });
    if (found == tree.series.end() || static_cast<int64_t>(tree.series.size()) != found->num_volumes)
      fail_file(file.path, "is not one DICOM series");
    return found->header;
  }
  if (const DicomImage dicom = unlisted_dicom(file); !dicom.files.empty()) return dicom.header;
  if (is_picture(file.path)) return picture_header(file.path);
  if (is_of_pair(file.path)) throw Error(ExitCode::data, concat(file.path.string(), " ", kPairProblem), kPairHint);
  throw Error(ExitCode::data, concat(file.path.string(), " is of an unknown type"));
}

constexpr const char* kRegisterHint =
    "register and resample the channels of a case onto one grid, or take each image by itself: data.channels=single";

[[noreturn]] void fail_channel(const SourceFile& channel, const SourceFile& first, const std::string& what,
                               const char* hint = kRegisterHint) {
  fail_file(first.path, concat("its channel ", channel.path.filename().string(), " ", what), hint);
}

}  // namespace

std::optional<VolumeHeader> read_image_header(const SourceFile& file) {
  auto header = header_of_one(file);
  if (file.channels.empty()) return header;
  if (are_volumes_of_one_file(file)) {
    if (header->num_time_points != num_channels(file))
      fail_file(file.path, concat("holds ", header->num_time_points, " volumes where ", num_channels(file),
                                  " channels are meant"));
    header->num_time_points = 1;
    return header;
  }
  const auto require_one = [&](const SourceFile& channel, int64_t count) {
    if (count > 1) fail_channel(channel, file, concat("holds ", count, " volumes where one image is meant"));
  };
  if (header) require_one(file, header->num_time_points);
  for (const SourceFile& channel : file.channels) {
    const auto other = header_of_one(channel);
    if (other.has_value() != header.has_value()) fail_channel(channel, file, "is not of the same kind");
    if (!other) continue;
    require_one(channel, other->num_time_points);
    if (other->size != header->size)
      fail_channel(channel, file,
                   concat("has ", size_text(other->size), " voxels, the first ", size_text(header->size)));
  }
  return header;
}

std::vector<Volume> read_channels(const SourceFile& file) {
  std::vector<Volume> volumes;
  for (int64_t i = 0; i < num_channels(file); ++i) {
    const SourceFile channel = channel_of(file, i);
    volumes.push_back(read_image(channel));
    const Volume &volume = volumes.back(), &first = volumes.front();
    if (volume.channels != 1)
      fail_channel(channel, file, "is in colour: a channel has one value per pixel", "convert it to grey");
    if (volume.size != first.size)
      fail_channel(channel, file, concat("has ", size_text(volume.size), " voxels, the first ", size_text(first.size)));
    if (is_picture(channel.path) || is_picture(file.path)) continue;  // pictures know no millimetres
    const std::string difference = place_difference({volume.spacing_mm, volume.origin_mm, volume.direction},
                                                    {first.spacing_mm, first.origin_mm, first.direction}, "first");
    if (!difference.empty()) fail_channel(channel, file, "lies elsewhere along " + difference);
  }
  return volumes;
}

std::vector<uint8_t> read_mask(const SourceFile& file, const Volume& image,
                               const std::vector<std::string>& structures) {
  if (file.mask.empty()) return {};
  if (const std::string problem = path_problem(file.mask); !problem.empty()) fail_mask(file, problem);
  if (is_of_pair(file.mask) && !is_dicom(file.mask)) fail_mask(file, kPairProblem, kPairHint);
  try {
    if (is_picture(file.mask) || is_volume(file.mask)) {
      LabelPicture picture;
      if (is_picture(file.mask)) picture = read_label_picture(file.mask);
      const Volume mask = is_picture(file.mask) ? std::move(picture.volume) : read_mask_volume(file.mask, file).volume;
      check_grid(file, image, mask);
      if (is_picture(file.mask)) say_turned(file, image);
      std::vector<uint8_t> labels = labels_of(mask, subject_of(file));
      if (picture.is_lossy) refuse_lossy(labels, subject_of(file));
      return in_order_of(structures, segment_names(file.mask), std::move(labels), subject_of(file));
    }
    const DicomImage dicom = dicom_image(file);
    if (dicom.files.empty())
      throw Error(ExitCode::data, file.mask.filename().string() + " is DICOM, but its image is not",
                  "give the DICOM series as the image, or a mask in the image's format");
    return read_dicom_mask(file.mask, dicom.files, image, structures, dicom.volume).map;
  } catch (const Error& error) {
    // the mask's path may begin like the image's
    if (std::string_view(error.what()).starts_with(file.path.string() + ": ")) throw;
    throw Error(error.code(), concat(file.path.string(), ": its mask can't be used: ", error.what()), error.hint());
  }
}

}  // namespace vmae::io
