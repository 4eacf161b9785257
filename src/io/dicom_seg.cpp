// Segmentation storage (PS3.3 C.8.20): every frame is one segment in one plane. Its corner and its axes, in pixels of the image, must be whole numbers; so a
// frame may cover a part of a slice, or be flipped or turned in it. Of images without a place (radiographs, ultrasound, photographs), frames name the image
// that they were made from and have its pixels.
#include <algorithm>
#include <cmath>
#include <map>

#include "dicom_geometry.h"
#include "dicom_masks.h"
#include "dicom_seg_frames.h"
#include "vmae/core/error.h"

namespace vmae::io {
namespace {

constexpr double kOffGrid = 0.1;  // of a pixel

// Pixel (column, row) of a frame lies at first + column * x + row * y of slice z.
struct Placement {
  int64_t z = -1;
  std::array<int64_t, 2> first{}, x{}, y{};
};

Placement place(const DicomFrame& frame, const std::vector<DicomFrame>& slices, double step_mm, const std::filesystem::path& path) {
  if (!frame.plane) fail_dicom(path, "does not say where its frames lie");
  const auto off_grid = [&] { fail_dicom(path, "does not lie on the grid of the image", "it was made for another series"); };
  Placement placement;
  placement.z = nearest_slice(slices, step_mm, frame.plane->position);
  if (placement.z < 0) return placement;
  const DicomFrame& slice = slices[static_cast<size_t>(placement.z)];
  const Vec3 at = to_pixels(slice, frame.plane->position), x = to_pixels(slice, plus(frame.plane->position, frame.spacing_mm[0], frame.plane->x)),
             y = to_pixels(slice, plus(frame.plane->position, frame.spacing_mm[1], frame.plane->y));
  if (std::abs(at[2]) > kOffGrid * step_mm + 0.01 || std::abs(x[2] - at[2]) > 1e-2 || std::abs(y[2] - at[2]) > 1e-2) off_grid();
  for (size_t i = 0; i < 2; ++i) {
    const std::array<double, 3> exact{at[i], x[i] - at[i], y[i] - at[i]};
    const std::array<int64_t*, 3> whole{&placement.first[i], &placement.x[i], &placement.y[i]};
    for (size_t k = 0; k < 3; ++k) {
      const double nearest = std::round(exact[k]);
      // Steps add up over a frame, so they must fit better than the corner.
      if (std::abs(exact[k] - nearest) > (k == 0 ? kOffGrid : kOffGrid / 100) || std::abs(nearest) > 1e6) off_grid();
      *whole[k] = static_cast<int64_t>(nearest);
    }
  }
  if (std::abs(placement.x[0]) + std::abs(placement.x[1]) != 1 || std::abs(placement.y[0]) + std::abs(placement.y[1]) != 1) off_grid();
  return placement;
}

// The slices of the image by the UID of their file, with "/" and the number of the frame where it has several.
std::map<std::string, int64_t> slices_by_reference(const std::vector<std::filesystem::path>& image_files, int64_t num_slices) {
  std::map<std::string, int64_t> slices;
  int64_t z = 0;
  for (const std::filesystem::path& path : image_files) {
    const DicomHeader header = read_dicom_header(open_dicom(path));
    const bool is_single = header.frames.size() == 1;
    for (const size_t i : frame_order(header.frames)) slices[is_single ? header.sop_instance_uid : concat(header.sop_instance_uid, '/', i + 1)] = z++;
  }
  if (z != num_slices) throw Error(ExitCode::internal, "read_dicom_mask: the files are not those of the image");
  return slices;
}

// Where each frame goes, by its place or by what it was made from.
class Placer {
 public:
  Placer(const DicomFile& file, const DicomHeader& header, const std::vector<std::filesystem::path>& image_files, const Volume& image)
      : file_(file), header_(header), image_(image) {
    const bool has_places = std::any_of(header.frames.begin(), header.frames.end(), [](const DicomFrame& frame) { return frame.plane.has_value(); });
    if (has_places) {
      slices_ = slices_of(image_files, image.size[2]);
    } else {
      by_reference_ = slices_by_reference(image_files, image.size[2]);
    }
  }

  Placement operator()(size_t index) const {
    if (by_reference_.empty()) return place(header_.frames[index], slices_, image_.spacing_mm[2], file_.path);
    Placement placement{-1, {0, 0}, {1, 0}, {0, 1}};
    const auto [uid, frame] = reference_of(file_, index);
    for (const std::string& reference : {concat(uid, '/', frame), uid}) {
      const auto found = by_reference_.find(reference);
      if (found != by_reference_.end()) placement.z = found->second;
    }
    if (placement.z >= 0 && (header_.pixels.columns != image_.size[0] || header_.pixels.rows != image_.size[1]))
      fail_dicom(file_.path, "has no places, and its frames are not of the image's size");
    return placement;
  }

 private:
  const DicomFile& file_;
  const DicomHeader& header_;
  const Volume& image_;
  std::vector<DicomFrame> slices_;
  std::map<std::string, int64_t> by_reference_;
};

}  // namespace

DicomLabels read_seg(const DicomFile& file, const DicomHeader& header, const std::vector<std::filesystem::path>& image_files, const Volume& image,
                     const std::vector<std::string>& names) {
  const SegFrames frames = seg_frames(file, header, names);
  DicomLabels labels{frames.names, std::vector<uint8_t>(static_cast<size_t>(image.size[0] * image.size[1] * image.size[2]), 0)};
  SegPixels pixels(file, header, frames.threshold);
  const Placer place_frame(file, header, image_files, image);
  bool is_on_image = frames.order.empty();
  for (const auto& [label, index] : frames.order) {
    const Placement placement = place_frame(index);
    if (placement.z < 0) continue;
    is_on_image = true;
    pixels.each(index, [&, to = label](int64_t column, int64_t row) {
      const int64_t x = placement.first[0] + column * placement.x[0] + row * placement.y[0],
                    y = placement.first[1] + column * placement.x[1] + row * placement.y[1];
      if (x < 0 || y < 0 || x >= image.size[0] || y >= image.size[1]) fail_dicom(file.path, "has a segment that reaches beyond the image");
      labels.map[static_cast<size_t>(x + image.size[0] * (y + image.size[1] * placement.z))] = to;
    });
  }
  if (!is_on_image) fail_dicom(file.path, "has no frame in the slices of the image", "it was made for another series");
  return labels;
}

}  // namespace vmae::io
