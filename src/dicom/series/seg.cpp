// Segmentation storage (PS3.3 C.8.20): every frame is one segment in one plane. Its corner
// and its axes, in pixels of the image, must be whole numbers; so a frame may cover a part of
// a slice, or be flipped or turned in it. Of images without a place (radiographs, ultrasound,
// photographs), frames name the image that they were made from and have its pixels.
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

namespace vmae::io {
namespace {

constexpr double kOffPixel = 0.1;  // of a pixel

// Pixel (column, row) of a frame lies at first + column * x + row * y of slice z.
struct Placement {
  int64_t z = -1;
  std::array<int64_t, 2> first{}, x{}, y{};
};

Placement place(const DicomFrame& frame, const MaskGrid& grid, const std::filesystem::path& path) {
  if (!frame.plane) fail_file(path, "does not say where its frames lie");
  const auto off_grid = [&] {
    fail_file(path, "does not lie on the grid of the image", "it was made for another series");
  };
  Placement placement;
  placement.z = nearest_slice(grid, frame.plane->position);
  if (placement.z < 0) return placement;
  const DicomFrame& slice = grid.slices[static_cast<size_t>(placement.z)].frame;
  const Vec3 at = to_pixels(slice, frame.plane->position),
             x = to_pixels(slice, plus(frame.plane->position, frame.spacing_mm[0], frame.plane->x)),
             y = to_pixels(slice, plus(frame.plane->position, frame.spacing_mm[1], frame.plane->y));
  if (std::abs(at[2]) > kOffPixel * grid.slice_step_mm + 0.01 || std::abs(x[2] - at[2]) > 1e-2 ||
      std::abs(y[2] - at[2]) > 1e-2)
    off_grid();
  for (size_t i = 0; i < 2; ++i) {
    const std::array<double, 3> exact{at[i], x[i] - at[i], y[i] - at[i]};
    const std::array<int64_t*, 3> whole{&placement.first[i], &placement.x[i], &placement.y[i]};
    for (size_t k = 0; k < 3; ++k) {
      const double nearest = std::round(exact[k]);
      // Steps add up over a frame, so they must fit better than the corner.
      if (std::abs(exact[k] - nearest) > (k == 0 ? kOffPixel : kOffPixel / 100) || std::abs(nearest) > 1e6) off_grid();
      *whole[k] = static_cast<int64_t>(nearest);
    }
  }
  if (std::abs(placement.x[0]) + std::abs(placement.x[1]) != 1 ||
      std::abs(placement.y[0]) + std::abs(placement.y[1]) != 1)
    off_grid();
  return placement;
}

// Where each frame goes, by its place or by what it was made from. A frame that was made from other images,
// where others were made from these, is of another time point or echo at the same place, and goes nowhere.
class Placer {
 public:
  Placer(const DicomFile& file, const DicomHeader& header, const MaskGrid& grid)
      : file_(file), header_(header), grid_(grid), references_(file) {
    const bool has_places = std::any_of(header.frames.begin(), header.frames.end(),
                                        [](const DicomFrame& frame) { return frame.plane.has_value(); });
    by_place_ = has_places && lie_apart(grid.slices);
    for (size_t z = 0; z < grid.slices.size(); ++z) {
      const SourceSlice& slice = grid.slices[z];
      for (const std::string& name : references_to(slice)) by_reference_[name].push_back(static_cast<int64_t>(z));
      if (slice.frame_number > 0 && by_place_) by_reference_[slice.sop_instance].push_back(static_cast<int64_t>(z));
    }
    knows_these_ = std::any_of(header.described_images.begin(), header.described_images.end(),
                               [&](const auto& name) { return by_reference_.contains(name); });
  }

  Placement operator()(size_t index) const {
    if (by_place_) {
      const std::vector<std::string> references = knows_these_ ? references_.of(index) : std::vector<std::string>{};
      const bool is_of_these = std::any_of(references.begin(), references.end(),
                                           [&](const auto& name) { return by_reference_.contains(name); });
      return references.empty() || is_of_these ? place(header_.frames[index], grid_, file_.path) : Placement{};
    }
    Placement placement{-1, {0, 0}, {1, 0}, {0, 1}};
    std::set<int64_t> places;
    for (const std::string& reference : references_.needed_of(index)) {
      if (const auto found = by_reference_.find(reference); found != by_reference_.end())
        places.insert(found->second.begin(), found->second.end());
    }
    if (places.size() > 1)
      fail_file(file_.path,
                concat("its frame ", index + 1, " was made from several slices of the image, so it can't be placed"));
    if (!places.empty()) placement.z = *places.begin();
    if (placement.z >= 0 && (header_.pixels.columns != grid_.columns || header_.pixels.rows != grid_.rows))
      fail_file(file_.path, "has no places, and its frames are not of the image's size");
    return placement;
  }

 private:
  const DicomFile& file_;
  const DicomHeader& header_;
  const MaskGrid& grid_;
  const SegReferences references_;
  bool by_place_ = false, knows_these_ = false;
  std::map<std::string, std::vector<int64_t>> by_reference_;
};

// Whether frames of two segments lie in one slice.
bool may_overlap(const SegFrames& frames, const std::vector<Placement>& placements) {
  std::map<int64_t, uint8_t> label_in;
  for (size_t i = 0; i < placements.size(); ++i) {
    const auto label = label_in.emplace(placements[i].z, frames.order[i].first).first->second;
    if (placements[i].z >= 0 && label != frames.order[i].first) return true;
  }
  return false;
}

}  // namespace

DicomLabels read_seg(const DicomFile& file, const DicomHeader& header, const MaskGrid& grid,
                     const std::vector<std::string>& names, bool with_pixels) {
  const SegFrames frames = seg_frames(file, header, names);
  DicomLabels labels{frames.names, {}, frames.remarks};
  const Placer place_frame(file, header, grid);
  std::vector<Placement> placements;
  for (const auto& [label, index] : frames.order) placements.push_back(place_frame(index));
  const auto num_outside =
      std::count_if(placements.begin(), placements.end(), [](const Placement& placement) { return placement.z < 0; });
  if (!placements.empty() && num_outside == static_cast<std::ptrdiff_t>(placements.size()))
    fail_file(file.path, "has no frame in the slices of the image", "it was made for another series");
  if (num_outside > 0)
    labels.remarks.push_back(
        concat(num_outside, " of its ", placements.size(),
               " frames lie outside of the image's slices, or are of other images, and are left out"));
  if (!with_pixels && (text_of(file.data(), DCM_SegmentsOverlap) == "NO" || !may_overlap(frames, placements)))
    return labels;

  labels.map.assign(static_cast<size_t>(grid.num_voxels()), 0);
  LabelPainter painter(labels.map);
  SegPixels pixels(file, header, frames);
  for (size_t i = 0; i < placements.size(); ++i) {
    const Placement& placement = placements[i];
    if (placement.z < 0) continue;
    pixels.each(frames.order[i].second, frames.order[i].first, [&](int64_t column, int64_t row, uint8_t label) {
      const int64_t x = placement.first[0] + column * placement.x[0] + row * placement.y[0],
                    y = placement.first[1] + column * placement.x[1] + row * placement.y[1];
      if (x < 0 || y < 0 || x >= grid.columns || y >= grid.rows)
        fail_file(file.path, "has a segment that reaches beyond the image");
      painter.paint(static_cast<size_t>(x + grid.columns * (y + grid.rows * placement.z)), label);
    });
  }
  for (std::string& remark : painter.remarks(labels.names)) labels.remarks.push_back(std::move(remark));
  return labels;
}

}  // namespace vmae::io
