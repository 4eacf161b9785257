// Contours to pixels (PS3.3 C.8.8.6). A contour is turned into fractions of columns and rows of the slice
// it lies in. It belongs to its plane: of the planes that fall within half a slice of a slice's centre,
// the nearest one is the slice's (of two equally near ones the lower), so that contours drawn more finely
// than the image neither cancel nor thicken each other. All contours of a structure in that plane
// together are filled by the even-odd rule: along each row of pixel centres, between every other crossing
// of their edges, ends included. Contours within contours are thus holes, as are keyholes. A contour that
// is there twice, from whichever point, in whichever direction and however rounded, counts once.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "mask_grid.h"
#include "vmae/core/error.h"

namespace vmae::io {
namespace {

struct Point {
  double x, y;  // column, row
};
using Polygon = std::vector<Point>;

// Absorbs the rounding of decimal strings: an edge this near to a pixel centre goes through it.
constexpr double kOnEdge = 1e-4;
// of a pixel, a twentieth in both directions: contours this near to each other everywhere are one
constexpr double kSameContour = 0.071;
constexpr double kSamePlane = 0.05;  // of a slice

void fill(const std::vector<Polygon>& polygons, int64_t columns, int64_t rows, uint8_t label, size_t first_pixel,
          LabelPainter& painter) {
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
      const auto last =
          static_cast<int64_t>(std::min(static_cast<double>(columns - 1), std::floor(crossings[i + 1] + kOnEdge)));
      for (int64_t column = first; column <= last; ++column)
        painter.paint(first_pixel + static_cast<size_t>(row * columns + column), label);
    }
  }
}

double distance_to_edge(const Point& p, const Point& a, const Point& b) {
  const double x = b.x - a.x, y = b.y - a.y, length = x * x + y * y;
  const double t = length > 0 ? std::clamp(((p.x - a.x) * x + (p.y - a.y) * y) / length, 0.0, 1.0) : 0.0;
  return std::hypot(p.x - a.x - t * x, p.y - a.y - t * y);
}

double distance_to(const Polygon& polygon, const Point& p) {
  double nearest = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < polygon.size() && nearest > kSameContour; ++i)
    nearest = std::min(nearest, distance_to_edge(p, polygon[i], polygon[(i + 1) % polygon.size()]));
  return nearest;
}

struct Box {
  double low_x = std::numeric_limits<double>::infinity(), low_y = low_x, high_x = -low_x, high_y = -low_x;
};

Box box_of(const Polygon& polygon) {
  Box box;
  for (const Point& p : polygon)
    box = {std::min(box.low_x, p.x), std::min(box.low_y, p.y), std::max(box.high_x, p.x), std::max(box.high_y, p.y)};
  return box;
}

double area_of(const Polygon& polygon) {
  double twice = 0;
  for (size_t i = 0; i < polygon.size(); ++i) {
    const Point &a = polygon[i], &b = polygon[(i + 1) % polygon.size()];
    twice += a.x * b.y - b.x * a.y;
  }
  return std::abs(twice) / 2;
}

// Whatever their points: every corner of each lies on the other, and both have the same area.
bool are_equal(const Polygon& a, const Polygon& b) {
  const Box left = box_of(a), right = box_of(b);
  for (const double difference :
       {left.low_x - right.low_x, left.low_y - right.low_y, left.high_x - right.high_x, left.high_y - right.high_y}) {
    if (!(std::abs(difference) <= kSameContour)) return false;
  }
  const double size = (left.high_x - left.low_x) + (left.high_y - left.low_y);
  if (std::abs(area_of(a) - area_of(b)) > 2 * kSameContour * size + kSameContour) return false;
  return std::all_of(a.begin(), a.end(), [&](const Point& p) { return distance_to(b, p) <= kSameContour; }) &&
         std::all_of(b.begin(), b.end(), [&](const Point& p) { return distance_to(a, p) <= kSameContour; });
}

double side_of(const Point& a, const Point& b, const Point& p) {
  return (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x);
}

// Whether edges go through each other; touching does not count.
bool cross(const Polygon& a, const Polygon& b) {
  const Box left = box_of(a), right = box_of(b);
  if (left.high_x < right.low_x || right.high_x < left.low_x || left.high_y < right.low_y || right.high_y < left.low_y)
    return false;
  constexpr double kTouch = 1e-3;
  for (size_t i = 0; i < a.size(); ++i) {
    const Point &p = a[i], &q = a[(i + 1) % a.size()];
    if (std::max(p.x, q.x) < right.low_x || std::min(p.x, q.x) > right.high_x || std::max(p.y, q.y) < right.low_y ||
        std::min(p.y, q.y) > right.high_y)
      continue;
    for (size_t k = 0; k < b.size(); ++k) {
      const Point &r = b[k], &s = b[(k + 1) % b.size()];
      const double one = side_of(p, q, r), two = side_of(p, q, s), three = side_of(r, s, p), four = side_of(r, s, q);
      if (std::min({std::abs(one), std::abs(two), std::abs(three), std::abs(four)}) < kTouch) continue;
      if ((one > 0) != (two > 0) && (three > 0) != (four > 0)) return true;
    }
  }
  return false;
}

struct Contour {
  double height_mm;  // from the centre of its slice, along the normal
  Polygon polygon;
  bool is_xor;    // CLOSEDPLANAR_XOR: its overlaps are meant
  size_t number;  // in the order of the file
};

struct Structure {
  std::map<int64_t, std::vector<Contour>> slices;  // z -> contours
  int64_t num_contours = 0, num_open = 0, num_outside = 0, num_repeated = 0, num_planes = 0, num_used_planes = 0,
          num_crossing = 0;
};

// Which slice a contour lies in, or -1: by its place, or, where all
// slices lie at one place, by the image that it says it was drawn on.
class SliceFinder {
 public:
  SliceFinder(const MaskGrid& grid, const std::filesystem::path& path)
      : grid_(grid), path_(path), by_place_(lie_apart(grid.slices)) {
    for (const SourceSlice& slice : grid.slices) {
      if (!slice.frame.plane)
        fail_file(path, "is a structure set for images that don't say where they lie",
                  "a structure set needs images with position and orientation");
    }
    if (by_place_) return;
    for (size_t z = 0; z < grid.slices.size(); ++z) {
      for (const std::string& name : references_to(grid.slices[z])) {
        if (!by_reference_.emplace(name, static_cast<int64_t>(z)).second) is_ambiguous_ = true;
      }
    }
    is_mixed_ = std::any_of(grid.slices.begin(), grid.slices.end(), [&](const SourceSlice& slice) {
      return std::abs(to_pixels(grid.slices[0].frame, slice.frame.plane->position)[2]) > kSamePlace;
    });
  }

  int64_t operator()(DcmItem& contour, const Vec3& point) const {
    if (by_place_ || is_mixed_) return nearest_slice(grid_, point);
    const std::vector<std::string> references = references_in(contour, DCM_ContourImageSequence);
    if (references.empty() || is_ambiguous_)
      fail_file(path_, "does not say which of the images at one place its contours were drawn on");
    for (const std::string& reference : references) {
      if (const auto found = by_reference_.find(reference); found != by_reference_.end()) return found->second;
    }
    return -1;
  }

 private:
  const MaskGrid& grid_;
  const std::filesystem::path& path_;
  const bool by_place_;
  bool is_ambiguous_ = false, is_mixed_ = false;
  std::map<std::string, int64_t> by_reference_;
};

void add_contours(DcmItem& roi, const MaskGrid& grid, const SliceFinder& slice_of, Structure& structure,
                  const std::filesystem::path& path) {
  const std::vector<DcmItem*> items = items_of(roi, DCM_ContourSequence);
  for (size_t i = 0; i < items.size(); ++i) {
    DcmItem& contour = *items[i];
    const std::string type = text_of(contour, DCM_ContourGeometricType);
    const std::vector<double> numbers = numbers_of(contour, DCM_ContourData);
    const bool is_closed = type.starts_with("CLOSED_PLANAR") || type.starts_with("CLOSEDPLANAR");
    ++structure.num_contours;
    if (!is_closed) {  // points and open lines have no inside
      ++structure.num_open;
      continue;
    }
    if (numbers.empty() || numbers.size() % 3 != 0)
      fail_file(path, "has a contour whose points can't be read", "the file is probably damaged");
    const int64_t z = slice_of(contour, {numbers[0], numbers[1], numbers[2]});
    if (z < 0) {
      ++structure.num_outside;
      continue;
    }
    Contour closed{0, {}, type.ends_with("XOR"), i};
    for (size_t k = 0; k < numbers.size(); k += 3) {
      const Vec3 at =
          to_pixels(grid.slices[static_cast<size_t>(z)].frame, {numbers[k], numbers[k + 1], numbers[k + 2]});
      if (std::abs(at[2]) > grid.slice_step_mm / 2 + 1e-3)
        fail_file(path, "has a contour that does not lie in a slice of the image", "it was drawn on another series");
      closed.polygon.push_back({at[0], at[1]});
      closed.height_mm += at[2] * 3 / static_cast<double>(numbers.size());
    }
    structure.slices[z].push_back(std::move(closed));
  }
}

// Of each slice the contours in the plane nearest to its centre, each once.
void keep_nearest_planes(Structure& structure, double slice_step_mm) {
  for (auto& [z, contours] : structure.slices) {
    std::stable_sort(contours.begin(), contours.end(),
                     [](const Contour& a, const Contour& b) { return a.height_mm < b.height_mm; });
    std::vector<std::vector<Contour>> planes;
    double last_mm = 0;
    for (Contour& contour : contours) {
      if (planes.empty() || contour.height_mm - last_mm > kSamePlane * slice_step_mm) planes.emplace_back();
      last_mm = contour.height_mm;
      planes.back().push_back(std::move(contour));
    }
    const auto distance = [&](const std::vector<Contour>& plane) { return std::abs(plane[0].height_mm); };
    size_t nearest = 0;
    for (size_t i = 1; i < planes.size(); ++i) {
      if (distance(planes[i]) < distance(planes[nearest]) - kSamePlane * slice_step_mm) nearest = i;
    }
    structure.num_planes += static_cast<int64_t>(planes.size());
    ++structure.num_used_planes;
    contours.clear();
    std::stable_sort(planes[nearest].begin(), planes[nearest].end(),
                     [](const Contour& a, const Contour& b) { return a.number < b.number; });
    for (Contour& contour : planes[nearest]) {
      const bool is_repeated = std::any_of(contours.begin(), contours.end(), [&](const Contour& other) {
        return are_equal(other.polygon, contour.polygon);
      });
      structure.num_repeated += is_repeated ? 1 : 0;
      if (!is_repeated) contours.push_back(std::move(contour));
    }
    for (size_t i = 0; i < contours.size(); ++i) {
      for (size_t k = 0; k < i; ++k)
        structure.num_crossing +=
            !(contours[i].is_xor && contours[k].is_xor) && cross(contours[i].polygon, contours[k].polygon);
    }
  }
}

// One for each of names.of. `num_lost`: contours of a structure that the file does not list.
std::vector<Structure> read_structures(const DicomFile& file, const MaskGrid& grid, const StructureNames& names,
                                       int64_t& num_lost) {
  std::vector<Structure> structures(names.of.size());
  const SliceFinder slice_of(grid, file.path);
  DcmItem& data = file.data();
  for (size_t i = 0; i < num_items(data, DCM_ROIContourSequence); ++i) {
    DcmItem& roi = *item_of(data, DCM_ROIContourSequence, i);
    const std::optional<double> number = number_of(roi, DCM_ReferencedROINumber);
    const size_t index = number ? names.item_of(static_cast<int64_t>(*number)) : structures.size();
    if (index < structures.size()) {
      add_contours(roi, grid, slice_of, structures[index], file.path);
    } else {
      num_lost += static_cast<int64_t>(num_items(roi, DCM_ContourSequence));
    }
  }
  for (Structure& structure : structures) keep_nearest_planes(structure, grid.slice_step_mm);
  return structures;
}

// "TEXT: 3 of 'a', 1 of 'b'" for the structures where `count` is not 0.
template <class Count>
void add_counts(const std::vector<Structure>& structures, const std::vector<uint8_t>& label_of, const std::string& text,
                Count count, DicomLabels& labels) {
  std::vector<std::string> parts;
  int64_t num_more = 0;
  for (size_t i = 0; i < structures.size(); ++i) {
    if (label_of[i] == 0 || count(structures[i]) == 0) continue;
    if (parts.size() < 5) {
      parts.push_back(concat(count(structures[i]), " of '", labels.names[label_of[i] - 1U], "'"));
    } else {
      ++num_more;
    }
  }
  if (parts.empty()) return;
  labels.remarks.push_back(
      concat(text, ": ", join(parts, ", "), num_more > 0 ? concat(" and of ", num_more, " more structures") : ""));
}

}  // namespace

DicomLabels read_rtstruct(const DicomFile& file, const MaskGrid& grid, const std::vector<std::string>& names) {
  DicomHeader header;
  header.kind = DicomKind::rtstruct;
  const StructureNames available = structure_names_of(file, header);
  const LabelChoice choice = choose_labels(available, names, file.path);
  int64_t num_lost = 0;
  const std::vector<Structure> structures = read_structures(file, grid, available, num_lost);
  if (std::all_of(structures.begin(), structures.end(),
                  [](const Structure& structure) { return structure.slices.empty(); }))
    fail_file(file.path, "has no closed contour in the slices of the image", "it was drawn on another series");

  DicomLabels labels{choice.names, std::vector<uint8_t>(static_cast<size_t>(grid.num_voxels()), 0), available.remarks};
  std::vector<uint8_t> label_of;
  for (const auto& [number, name] : available.of) label_of.push_back(choice.label[name]);
  LabelPainter painter(labels.map);
  std::vector<std::string> empty;
  std::vector<int64_t> num_cancelled(structures.size(), 0);
  for (size_t label = 1; label <= choice.names.size(); ++label) {  // later ones win
    const int64_t before = painter.num_painted();
    for (size_t i = 0; i < structures.size(); ++i) {
      if (label_of[i] != label) continue;
      for (const auto& [z, contours] : structures[i].slices) {
        std::vector<Polygon> polygons;
        for (const Contour& contour : contours) polygons.push_back(contour.polygon);
        const int64_t before_plane = painter.num_painted();
        fill(polygons, grid.columns, grid.rows, static_cast<uint8_t>(label),
             static_cast<size_t>(z * grid.columns * grid.rows), painter);
        const bool encloses = std::any_of(polygons.begin(), polygons.end(),
                                          [](const Polygon& polygon) { return std::abs(area_of(polygon)) >= 2; });
        if (painter.num_painted() == before_plane && polygons.size() > 1 && encloses) ++num_cancelled[i];
      }
    }
    if (painter.num_painted() == before) empty.push_back(choice.names[label - 1]);
  }
  const auto count = [&](const std::string& text, auto number) {
    add_counts(structures, label_of, text, number, labels);
  };
  count("contours outside of the image's slices are left out", [](const Structure& one) { return one.num_outside; });
  count("points and open contours, which have no inside, are left out",
        [](const Structure& one) { return one.num_open; });
  count("contours that are there twice count once", [](const Structure& one) { return one.num_repeated; });
  count("several planes of contours lie in one slice: the one nearest to its centre is taken, others are left out",
        [](const Structure& one) { return one.num_planes - one.num_used_planes; });
  count("contours of a plane cross each other, and where they overlap is outside (even-odd rule)",
        [](const Structure& one) { return one.num_crossing; });
  count("planes whose contours lie within each other so that they cancel out (even-odd rule) are empty",
        [&](const Structure& one) { return num_cancelled[static_cast<size_t>(&one - structures.data())]; });
  if (num_lost > 0)
    labels.remarks.push_back(
        concat(num_lost, " contours belong to structures that the file does not list, and are left out"));
  if (!empty.empty()) labels.remarks.push_back(concat("structures without a voxel in the image: ", quoted_list(empty)));
  for (std::string& remark : painter.remarks(labels.names)) labels.remarks.push_back(std::move(remark));
  return labels;
}

}  // namespace vmae::io
