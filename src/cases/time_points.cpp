#include "vmae/cases/time_points.h"

#include "mask_volume.h"
#include "vmae/cases/read_image.h"
#include "vmae/core/error.h"
#include "vmae/image/picture.h"
#include "vmae/volume/volume.h"

namespace vmae::io {
namespace {

int64_t num_time_points(const SourceFile& file) {
  if (file.prepared_case >= 0 || !file.series.empty() || !file.channels.empty() || is_picture(file.path)) return 1;
  try {
    const auto header = read_image_header(file);
    return header ? header->num_time_points : 1;
  } catch (const Error&) {  // said when the image is read
    return 1;
  }
}

void add(const SourceFile& file, int64_t count, std::vector<SourceFile>& to) {
  for (SourceFile& one : time_points_of(file, count)) to.push_back(std::move(one));
}

bool has_mask_of_its_own(const SourceFile& file) {
  try {
    return is_volume(file.mask) && read_mask_volume(file.mask, file).form == MaskForm::time_points;
  } catch (const Error&) {  // said when the mask is read
    return false;
  }
}

}  // namespace

std::string time_point_suffix(int64_t t) { return concat("#t", t); }

std::string without_time_point(const std::string& name) {
  const size_t at = name.rfind("#t");
  return at != std::string::npos && parse_integer(name.substr(at + 2)) ? name.substr(0, at) : name;
}

SourceFile time_point_of(const SourceFile& file, int64_t t) {
  SourceFile one = file;
  one.time_point = t;
  one.name += time_point_suffix(t);
  return one;
}

std::vector<SourceFile> time_points_of(const SourceFile& file, int64_t num_time_points) {
  if (num_time_points == 1) return {file};
  std::vector<SourceFile> files;
  for (int64_t t = 0; t < num_time_points; ++t) files.push_back(time_point_of(file, t));
  return files;
}

std::vector<SourceFile> listed_time_points(const SourceFile& file,
                                           const std::function<bool(const std::string& name)>& has) {
  if (has(file.name) || !has(time_point_of(file, 0).name)) return {file};
  std::vector<SourceFile> files;
  for (int64_t t = 0; has(time_point_of(file, t).name); ++t) files.push_back(time_point_of(file, t));
  return files;
}

std::vector<SourceFile> with_time_points(const std::vector<SourceFile>& files) {
  std::vector<SourceFile> expanded;
  for (const SourceFile& file : files) add(file, num_time_points(file), expanded);
  return expanded;
}

std::vector<SourceFile> with_masks_of_time_points(const std::vector<SourceFile>& files) {
  std::vector<SourceFile> expanded;
  for (const SourceFile& file : files) {
    const int64_t count = file.mask.empty() ? 1 : num_time_points(file);
    add(file, count > 1 && has_mask_of_its_own(file) ? count : 1, expanded);
  }
  return expanded;
}

}  // namespace vmae::io
