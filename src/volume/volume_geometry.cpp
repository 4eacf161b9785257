// http://teem.sourceforge.net/nrrd/format.html: spacings and units are of all
// axes, space units of those of the space. https://itk.org/Wiki/ITK/MetaIO.
#include "volume_geometry.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "vmae/core/error.h"
#include "vmae/core/log_once.h"
#include "vmae/core/text.h"
#include "vmae/image/length_units.h"
#include "vmae/image/right_angles.h"
#include "vmae/volume/volume_data.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

// What stands between quotes, of NRRD's lists of units.
std::vector<std::string> quoted(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t from = text.find('"'); from != std::string::npos; from = text.find('"', from)) {
    const size_t end = std::min(text.find('"', from + 1), text.size());
    parts.emplace_back(trim(std::string_view(text).substr(from + 1, end - from - 1)));
    from = std::min(end + 1, text.size());
  }
  return parts;
}

// Which axes of an NRRD are the volume's, of at most three: its other axes are values of a voxel.
std::vector<size_t> volume_axes(const fs::path& path, size_t num_axes) {
  const std::vector<std::string> kinds = words_of(nrrd_field(path, "kinds"));
  std::vector<size_t> axes;
  for (size_t axis = 0; axis < num_axes && axes.size() < 3; ++axis) {
    const std::string kind = axis < kinds.size() ? kinds[axis] : "domain";
    if (kind == "domain" || kind == "space" || kind == "time" || kind == "none" || kind == "???") axes.push_back(axis);
  }
  return axes;
}

void check_sizes(const std::vector<std::string>& words, const std::string& field, const std::string& text,
                 const fs::path& path) {
  for (const std::string& word : words) {
    const double size = parse_number(word).value_or(0);
    if (size > 0 && std::isfinite(size)) continue;
    fail_file(path, concat("its header gives voxels a size of ", word, " (", field, ": ", text, ")"),
              concat("write the right voxel sizes into it, as numbers above 0; without ", field, " they are 1 mm"));
  }
}

struct LengthUnits {
  std::string field;
  std::vector<std::string> names;  // of the first axes, at most three, in lower case
};

LengthUnits units_of(const fs::path& path, bool is_nrrd) {
  if (!is_nrrd) {
    const std::string unit = to_lower(meta_field(path, "distanceunits"));
    return {"DistanceUnits", {unit == "?" ? "" : unit}};
  }
  for (const char* key : {"space units", "spaceunits"}) {
    if (std::vector<std::string> names = quoted(nrrd_field(path, key)); !names.empty()) {
      names.resize(std::min<size_t>(names.size(), 3));
      return {"space units", names};
    }
  }
  const std::vector<std::string> all = quoted(nrrd_field(path, "units"));
  LengthUnits units{"units", {}};
  for (const size_t axis : volume_axes(path, all.size())) units.names.push_back(all[axis]);
  return units;
}

}  // namespace

void check_spacing_fields(const fs::path& path, bool is_nrrd) {
  if (is_nrrd) {
    const std::string text = nrrd_field(path, "spacings");
    const std::vector<std::string> all = words_of(text);
    std::vector<std::string> words;
    for (const size_t axis : volume_axes(path, all.size())) words.push_back(all[axis]);
    check_sizes(words, "spacings", text, path);
    return;
  }
  for (const char* field : {"ElementSpacing", "ElementSize"}) {  // ElementSize counts where there is no ElementSpacing
    const std::string text = meta_field(path, to_lower(field));
    if (text.empty()) continue;
    std::vector<std::string> words = words_of(text);
    words.resize(std::min<size_t>(words.size(), 3));
    check_sizes(words, field, text, path);
    return;
  }
}

void check_axes(Volume& grid, const fs::path& path, bool is_nrrd) {
  const char* field = is_nrrd ? "space directions" : "TransformMatrix";
  double most_scale = 0;
  for (size_t axis = 0; axis < 3; ++axis) {
    if (!(grid.spacing_mm[axis] > 0 && std::isfinite(grid.spacing_mm[axis])))
      fail_file(path, concat("has voxels of size ", grid.spacing_mm[axis], " along axis ", axis),
                "write the right voxel sizes into it, as numbers above 0");
    const double length = length_of(grid.direction, axis);
    most_scale = std::max(most_scale, std::isfinite(length) ? std::abs(length - 1) : 1);
    if (most_scale > kMostScale)
      fail_file(path,
                concat("its ", field, " has an axis of length ", number_text(std::round(1e4 * length) / 1e4), " (axis ",
                       axis, "); 1 is right"),
                is_nrrd ? "write the right voxel sizes into space directions"
                        : "write axes of length 1 into it, and the right voxel sizes into ElementSpacing");
  }
  const double skew = most_skew(grid.direction);
  if (skew > kMostSkew)
    fail_file(path,
              concat("the axes of its ", field, " are not perpendicular (cosine ",
                     number_text(std::round(1e4 * skew) / 1e4), "): resample it on a grid with right angles"),
              concat("where slices are all that counts, write ", field, " with right angles into it"));
  if (std::max(skew, most_scale) > kRight) grid.direction = nearest_axes(grid.direction);
}

void apply_units(Volume& grid, size_t num_axes, const fs::path& path, bool is_nrrd) {
  const LengthUnits units = units_of(path, is_nrrd);
  if (units.names.empty()) return;
  std::array<double, 3> mm{1, 1, 1};
  for (size_t axis = 0; axis < 3; ++axis) {
    const std::string& name = units.names[std::min(axis, units.names.size() - 1)];
    if (name.empty()) continue;
    const std::optional<double> known = millimetres_of(name);
    if (!known)
      log::warning_once(path.filename().string(), concat("has ", units.field, " ", name,
                                                         ", which is no known unit of length: millimetres are taken"));
    mm[axis] = known.value_or(1);
  }
  if (mm[0] != mm[1] || mm[0] != mm[2]) {
    std::string text;
    for (const std::string& name : units.names) text += concat(text.empty() ? "" : ", ", name.empty() ? "none" : name);
    fail_file(path, concat("has axes of several units (", units.field, ": ", text, ")"),
              "write all of its geometry in millimetres");
  }
  for (size_t axis = 0; axis < 3; ++axis) {
    if (axis < num_axes) grid.spacing_mm[axis] *= mm[axis];
    grid.origin_mm[axis] *= mm[axis];
  }
}

}  // namespace vmae::io
