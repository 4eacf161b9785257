// A segmentation without the images that it was made from: the places of its own frames make the grid.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "geometry.h"
#include "mask_grid.h"
#include "seg_frames.h"
#include "vmae/core/error.h"
#include "vmae/dicom/kinds.h"
#include "vmae/dicom/masks.h"
#include "vmae/image/file_name.h"
#include "vmae/volume/label_values.h"

namespace vmae::io {
namespace {

constexpr double kSameHeight_mm = 1e-3;
constexpr double kOffVoxel = 0.1;           // of a voxel
constexpr double kMostVoxels = 4294967296;  // 4 GiB of labels: more is a damaged header
constexpr const char* kHint = "convert it to NIfTI on the grid of its images";

// Where a frame begins in the grid.
using Corner = std::array<int64_t, 3>;

// SpacingBetweenSlices and SliceThickness; 0 where it does not say.
std::array<double, 2> spacing_and_thickness(const DicomFile& file) {
  std::array<double, 2> steps{};
  DcmItem* const shared = item_of(file.data(), DCM_SharedFunctionalGroupsSequence);
  DcmItem* const own = item_of(file.data(), DCM_PerFrameFunctionalGroupsSequence);
  for (DcmItem* const group : {own, shared}) {
    DcmItem* const measures = group != nullptr ? item_of(*group, DCM_PixelMeasuresSequence) : nullptr;
    if (measures == nullptr) continue;
    steps = {std::abs(number_of(*measures, DCM_SpacingBetweenSlices).value_or(0)),
             std::abs(number_of(*measures, DCM_SliceThickness).value_or(0))};
    break;
  }
  return steps;
}

// The step of which all of `heights` (ascending, the first 0)
// are multiples, near `candidate`: fitted to the last. Or 0.
double fitted_step(const std::vector<double>& heights, double candidate) {
  if (!(candidate > kSameHeight_mm)) return 0;
  int64_t num_steps = 0;  // summed up, so that a candidate that is a little off still counts right
  for (size_t i = 1; i < heights.size(); ++i)
    num_steps += std::max<int64_t>(1, std::llround((heights[i] - heights[i - 1]) / candidate));
  const double step = heights.back() / static_cast<double>(num_steps);
  for (const double height : heights) {
    if (std::abs(height / step - std::round(height / step)) > kOffVoxel) return 0;
  }
  return std::abs(step - candidate) < 0.05 * candidate ? step : 0;
}

double step_between(const std::set<double>& places, const DicomFile& file) {
  const auto [spacing, thickness] = spacing_and_thickness(file);
  if (places.size() == 1) {
    if (spacing > 0) return spacing;
    return thickness > 0 ? thickness : 1;
  }
  std::vector<double> heights;
  double smallest = *places.rbegin() - *places.begin();
  for (const double place : places) {
    if (!heights.empty()) smallest = std::min(smallest, place - *places.begin() - heights.back());
    heights.push_back(place - *places.begin());
  }
  // Some scanners write the gap between slices instead.
  const bool is_gap = spacing < thickness / 2 && std::abs(spacing + thickness - smallest) < 0.01 * smallest;
  double step = is_gap ? 0 : fitted_step(heights, spacing);
  if (step == 0) step = fitted_step(heights, smallest);
  if (step == 0) fail_file(file.path, "has slices at uneven distances, which make no regular grid", kHint);
  return step;
}

// The grid of frames with places, and the corner of each.
std::vector<Corner> place_by_position(const DicomFile& file, const DicomHeader& header, LabelMap& map) {
  const auto fail = [&](const std::string& what) {
    fail_file(file.path, what + ", which make no regular grid", kHint);
  };
  const DicomFrame& first = header.frames[0];
  std::set<double> places;  // along the normal, from the first frame
  for (const DicomFrame& frame : header.frames) {
    if (!frame.plane) fail_file(file.path, "does not say where all of its frames lie", kHint);
    if (!is_parallel(*frame.plane, *first.plane)) fail("has frames in different directions");
    for (size_t i = 0; i < 2; ++i) {
      if (std::abs(frame.spacing_mm[i] - first.spacing_mm[i]) > 1e-3 * first.spacing_mm[i])
        fail("has frames with pixels of different size");
    }
    const double height = to_pixels(first, frame.plane->position)[2];
    const auto next = places.lower_bound(height - kSameHeight_mm);
    if (next == places.end() || *next > height + kSameHeight_mm) places.insert(height);
  }
  const double step_mm = step_between(places, file);
  std::vector<Corner> corners;
  Corner low{}, high{};
  for (const DicomFrame& frame : header.frames) {
    Vec3 at = to_pixels(first, frame.plane->position);
    at[2] = (at[2] - *places.begin()) / step_mm;
    Corner corner{};
    for (size_t i = 0; i < 3; ++i) {
      if (!(std::abs(at[i]) < 1e6) || std::abs(at[i] - std::round(at[i])) > kOffVoxel)
        fail("has frames that are shifted by parts of a pixel");
      corner[i] = std::llround(at[i]);
      low[i] = std::min(low[i], corner[i]);
      high[i] = std::max(high[i], corner[i]);
    }
    corners.push_back(corner);
  }
  map.size = {high[0] - low[0] + header.pixels.columns, high[1] - low[1] + header.pixels.rows, high[2] + 1};
  map.spacing_mm = {first.spacing_mm[0], first.spacing_mm[1], step_mm};
  const Vec3 normal = first.plane->normal();
  map.origin_mm = plus(first.plane->position, *places.begin(), normal);
  map.origin_mm = plus(map.origin_mm, static_cast<double>(low[0]) * first.spacing_mm[0], first.plane->x);
  map.origin_mm = plus(map.origin_mm, static_cast<double>(low[1]) * first.spacing_mm[1], first.plane->y);
  for (size_t i = 0; i < 3; ++i) {
    map.direction[3 * i] = first.plane->x[i];
    map.direction[3 * i + 1] = first.plane->y[i];
    map.direction[3 * i + 2] = normal[i];
  }
  for (Corner& corner : corners) corner = {corner[0] - low[0], corner[1] - low[1], corner[2]};
  return corners;
}

// The images that the file refers to, in its order: z of each.
std::map<std::string, int64_t> referenced_images(DcmItem& data) {
  std::map<std::string, int64_t> images;
  for (size_t i = 0; i < num_items(data, DCM_ReferencedSeriesSequence); ++i) {
    for (const std::string& reference :
         references_in(*item_of(data, DCM_ReferencedSeriesSequence, i), DCM_ReferencedInstanceSequence))
      images.emplace(reference.substr(0, reference.find('/')), static_cast<int64_t>(images.size()));
  }
  return images;
}

// Of frames without places. z: the image, or where there is one only, its
// frame. Several images of several frames: those that something was made from.
std::vector<Corner> place_by_reference(const DicomFile& file, const DicomHeader& header, LabelMap& map) {
  std::map<std::string, int64_t> images = referenced_images(file.data());
  std::vector<std::pair<int64_t, int64_t>> sources;  // image, frame
  int64_t last_frame = 0;
  const SegReferences all(file);
  for (size_t i = 0; i < header.frames.size(); ++i) {
    const std::vector<std::string> references = all.needed_of(i);
    if (std::any_of(references.begin(), references.end(),
                    [&](const std::string& other) { return other != references[0]; }))
      fail_file(file.path,
                concat("its frame ", i + 1, " was made from several images, so it can't be placed without them"),
                kHint);
    const size_t slash = references[0].find('/');
    const int64_t image =
        images.emplace(references[0].substr(0, slash), static_cast<int64_t>(images.size())).first->second;
    const int64_t frame = slash == std::string::npos
                              ? 0
                              : std::max<int64_t>(0, parse_integer(references[0].substr(slash + 1)).value_or(1) - 1);
    if (frame > 1000000) fail_file(file.path, "refers to a frame that can't be");
    last_frame = std::max(last_frame, frame);
    sources.emplace_back(image, frame);
  }
  const std::set<std::pair<int64_t, int64_t>> used(sources.begin(), sources.end());
  const auto num_images = static_cast<int64_t>(images.size());
  const auto z_of = [&](const std::pair<int64_t, int64_t>& source) -> int64_t {
    if (last_frame == 0) return source.first;
    if (num_images == 1) return source.second;
    return std::distance(used.begin(), used.find(source));
  };
  std::vector<Corner> corners;
  for (const auto& source : sources) corners.push_back({0, 0, z_of(source)});
  auto depth = static_cast<int64_t>(used.size());
  if (last_frame == 0) {
    depth = num_images;
  } else if (num_images == 1) {
    depth = last_frame + 1;
  }
  map.size = {header.pixels.columns, header.pixels.rows, depth};
  map.has_millimetres = false;
  return corners;
}

}  // namespace

LabelMap read_seg_alone(const std::filesystem::path& path) {
  const DicomFile file = open_dicom(path);
  const DicomHeader header = read_dicom_header(file);
  if (header.kind == DicomKind::rtstruct)
    fail_file(path, "is a structure set (RTSTRUCT), which has no voxels of its own", kHint);
  if (header.kind == DicomKind::other) fail_file(path, "is no DICOM segmentation (SEG): it " + header.what);
  if (header.kind != DicomKind::seg) fail_file(path, "is no DICOM segmentation (SEG)");
  const SegFrames frames = seg_frames(file, header, {});
  if (header.frames.empty()) fail_file(path, "is a segmentation without frames");
  LabelMap map;
  const bool has_places = std::any_of(header.frames.begin(), header.frames.end(),
                                      [](const DicomFrame& frame) { return frame.plane.has_value(); });
  const std::vector<Corner> corners =
      has_places ? place_by_position(file, header, map) : place_by_reference(file, header, map);
  if (static_cast<double>(map.size[0]) * static_cast<double>(map.size[1]) * static_cast<double>(map.size[2]) >
      kMostVoxels)
    fail_file(path, concat("has frames so far from each other that their grid has ", size_text(map.size), " voxels"));
  map.names = frames.names;
  map.labels.assign(static_cast<size_t>(map.size[0] * map.size[1] * map.size[2]), 0);
  const SegReferences references(file);
  std::map<std::pair<uint8_t, Corner>, size_t> first;  // frame of a segment at a place
  for (const auto& [label, index] : frames.order) {
    const auto one = first.emplace(std::pair{label, corners[index]}, index);
    if (!one.second && has_places && references.of(one.first->second) != references.of(index))
      fail_file(path, "has several frames of a segment at one place, made from different images, such as time points",
                kHint);
  }
  LabelPainter painter(map.labels);
  SegPixels pixels(file, header, frames);
  for (const auto& [of_frame, index] : frames.order) {
    const Corner& corner = corners[index];
    pixels.each(index, of_frame, [&](int64_t column, int64_t row, uint8_t label) {
      painter.paint(static_cast<size_t>(corner[0] + column + map.size[0] * (corner[1] + row + map.size[1] * corner[2])),
                    label);
    });
  }
  return map;
}

LabelMapOwner owner_of(const std::filesystem::path& file) {
  try {
    if (kind_of(file) != FileKind::dicom) return {};
    const DicomFile dicom = open_dicom(file);
    return {text_of(dicom.data(), DCM_PatientID), identifying_texts(dicom)};
  } catch (const Error&) {  // it is refused where its labels are read
    return {};
  }
}

}  // namespace vmae::io
