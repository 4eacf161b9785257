// Contours to pixels. A contour is turned into fractions of columns and rows of the slice it lies in; all contours of a structure in a slice together are
// filled by the even-odd rule: along each row of pixel centres, between every other crossing of their edges, ends included. Contours within contours are thus
// holes.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "dicom_masks.h"
#include "vmae/core/error.h"

namespace vmae::io {
namespace {

struct Point {
  double x, y;  // column, row
};
using Polygon = std::vector<Point>;

// Absorbs the rounding of decimal strings: an edge this near to a pixel centre goes through it.
constexpr double kOnEdge = 1e-4;

void fill(const std::vector<Polygon>& polygons, int64_t columns, int64_t rows, uint8_t label, uint8_t* slice) {
  std::vector<double> crossings;
  for (int64_t row = 0; row < rows; ++row) {
    const auto y = static_cast<double>(row);
    crossings.clear();
    for (const Polygon& polygon : polygons) {
      for (size_t i = 0; i < polygon.size(); ++i) {
        const Point &a = polygon[i], &b = polygon[(i + 1) % polygon.size()];
        if ((a.y <= y) == (b.y <= y)) continue;
        crossings.push_back(a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x));
      }
    }
    std::sort(crossings.begin(), crossings.end());
    for (size_t i = 0; i + 1 < crossings.size(); i += 2) {
      const auto first = static_cast<int64_t>(std::max(0.0, std::ceil(crossings[i] - kOnEdge)));
      const auto last = static_cast<int64_t>(std::min(static_cast<double>(columns - 1), std::floor(crossings[i + 1] + kOnEdge)));
      for (int64_t column = first; column <= last; ++column) slice[row * columns + column] = label;
    }
  }
}

struct Structure {
  std::string name;
  std::map<int64_t, std::vector<Polygon>> slices;  // z -> contours
};

// The closed contours of one structure that lie in slices of the image.
void add_contours(DcmItem& roi, const std::vector<DicomFrame>& slices, double step_mm, Structure& structure, const std::filesystem::path& path) {
  const size_t count = num_items(roi, DCM_ContourSequence);
  for (size_t i = 0; i < count; ++i) {
    DcmItem& contour = *item_of(roi, DCM_ContourSequence, i);
    if (!text_of(contour, DCM_ContourGeometricType).starts_with("CLOSED_PLANAR")) continue;  // points and open lines have no inside
    const std::vector<double> numbers = numbers_of(contour, DCM_ContourData);
    if (numbers.empty() || numbers.size() % 3 != 0) fail_dicom(path, "has a contour whose points can't be read", "the file is probably damaged");
    const int64_t z = nearest_slice(slices, step_mm, {numbers[0], numbers[1], numbers[2]});
    if (z < 0) continue;
    Polygon polygon;
    for (size_t k = 0; k < numbers.size(); k += 3) {
      const Vec3 at = to_pixels(slices[static_cast<size_t>(z)], {numbers[k], numbers[k + 1], numbers[k + 2]});
      if (std::abs(at[2]) > step_mm / 2 + 1e-3) fail_dicom(path, "has a contour that does not lie in a slice of the image", "it was drawn on another series");
      polygon.push_back({at[0], at[1]});
    }
    structure.slices[z].push_back(std::move(polygon));
  }
}

std::vector<Structure> read_structures(const DicomFile& file, const std::vector<DicomFrame>& slices, double step_mm) {
  std::vector<Structure> structures;
  std::map<std::string, size_t> by_number;
  DcmItem& data = file.data();
  for (size_t i = 0; i < num_items(data, DCM_StructureSetROISequence); ++i) {
    DcmItem& roi = *item_of(data, DCM_StructureSetROISequence, i);
    by_number[text_of(roi, DCM_ROINumber)] = structures.size();
    structures.push_back({text_of(roi, DCM_ROIName), {}});
  }
  for (size_t i = 0; i < num_items(data, DCM_ROIContourSequence); ++i) {
    DcmItem& roi = *item_of(data, DCM_ROIContourSequence, i);
    const auto found = by_number.find(text_of(roi, DCM_ReferencedROINumber));
    if (found != by_number.end()) add_contours(roi, slices, step_mm, structures[found->second], file.path);
  }
  return structures;
}

}  // namespace

DicomLabels read_rtstruct(const DicomFile& file, const std::vector<DicomFrame>& slices, const Volume& image, const std::vector<std::string>& names) {
  const std::vector<Structure> structures = read_structures(file, slices, image.spacing_mm[2]);
  std::vector<std::string> available;
  for (const Structure& structure : structures) available.push_back(structure.name);
  const LabelChoice choice = choose_labels(available, names, file.path);
  DicomLabels labels{choice.names, std::vector<uint8_t>(static_cast<size_t>(image.size[0] * image.size[1] * image.size[2]), 0)};
  bool is_on_image = false;
  // In the order of labels: later ones win.
  for (size_t label = 1; label <= choice.names.size(); ++label) {
    for (size_t i = 0; i < structures.size(); ++i) {
      if (choice.label[i] != label) continue;
      for (const auto& [z, polygons] : structures[i].slices) {
        fill(polygons, image.size[0], image.size[1], static_cast<uint8_t>(label), labels.map.data() + z * image.size[0] * image.size[1]);
        is_on_image = true;
      }
    }
  }
  if (!is_on_image) fail_dicom(file.path, "has no closed contour in the slices of the image", "it was drawn on another series");
  return labels;
}

}  // namespace vmae::io
