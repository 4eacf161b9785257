// https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields/nifti1fields_pages/qsform.html; the
// quaternion as nifti1_io's nifti_quatern_to_mat44. NIfTI's frame is RAS: x and y change their sign.
#include "vmae/volume/nifti_geometry.h"

#include <algorithm>
#include <cmath>

#include "vmae/core/error.h"
#include "vmae/image/right_angles.h"
#include "vmae/volume/volume.h"

namespace vmae::io {
namespace {

constexpr double kScale_mm = 1e-3;
constexpr double kConflict = 0.1;  // voxels
constexpr double kInPlane = 1e-3;

// Columns are the axes (RAS, times voxel size), then the first voxel.
struct Form {
  Axes axes{};
  std::array<double, 3> origin{};

  double length(size_t axis) const { return length_of(axes, axis); }
};

double units_mm(const NiftiFields& fields) {
  const int64_t space = fields.xyzt_units & 7;
  if (space == 1) return 1e3;
  return space == 3 ? 1e-3 : 1.0;
}

// pixdim, 1 where it says nothing.
std::array<double, 3> pixel_sizes(const NiftiFields& fields) {
  std::array<double, 3> sizes{1, 1, 1};
  for (size_t axis = 0; axis < 3; ++axis) {
    const double size = std::abs(fields.pixdim[axis + 1]);
    if (static_cast<int64_t>(axis) < fields.dim[0] && size > 0) sizes[axis] = size;
  }
  return sizes;
}

// Rounded to float, as every other program has it.
Form qform(const NiftiFields& fields) {
  double b = fields.quatern[0], c = fields.quatern[1], d = fields.quatern[2];
  auto a = static_cast<double>(1.0L - (b * b + c * c + d * d));
  if (a < 1e-7) {  // a half turn, and quaternions that are longer than 1
    a = static_cast<double>(1.0L / std::sqrt(b * b + c * c + d * d));
    b *= a;
    c *= a;
    d *= a;
    a = 0;
  } else {
    a = std::sqrt(a);
  }
  std::array<double, 3> size = pixel_sizes(fields);
  if (fields.pixdim[0] < 0) size[2] = -size[2];
  const auto single = [&](double part, size_t axis) {
    return static_cast<double>(static_cast<float>(part * size[axis]));
  };
  const auto twice = [&](double part, size_t axis) {
    return static_cast<double>(static_cast<float>(2.0L * part * size[axis]));
  };
  Form form;
  form.axes = {single(a * a + b * b - c * c - d * d, 0),
               twice(b * c - a * d, 1),
               twice(b * d + a * c, 2),
               twice(b * c + a * d, 0),
               single(a * a + c * c - b * b - d * d, 1),
               twice(c * d - a * b, 2),
               twice(b * d - a * c, 0),
               twice(c * d + a * b, 1),
               single(a * a + d * d - c * c - b * b, 2)};
  form.origin = fields.qoffset;
  return form;
}

Form sform(const NiftiFields& fields) {
  Form form;
  for (size_t row = 0; row < 3; ++row) {
    for (size_t axis = 0; axis < 3; ++axis) form.axes[3 * row + axis] = fields.srow[4 * row + axis];
    form.origin[row] = fields.srow[4 * row + 3];
  }
  return form;
}

bool has_sizes(const Form& form, const std::array<double, 3>& sizes, double most_mm) {
  for (size_t axis = 0; axis < 3; ++axis) {
    if (!(std::abs(form.length(axis) - sizes[axis]) <= std::min(most_mm, kMostScale * sizes[axis]))) return false;
  }
  return true;
}

// The farthest that a voxel lies in one form from where it lies in the other, in voxels along an axis.
double most_apart(const Form& a, const Form& b, const NiftiFields& fields) {
  double most = 0;
  for (int corner = 0; corner < 8; ++corner) {
    std::array<double, 3> way{};
    for (size_t row = 0; row < 3; ++row) {
      way[row] = a.origin[row] - b.origin[row];
      for (size_t axis = 0; axis < 3; ++axis) {
        if ((corner >> axis & 1) != 0)
          way[row] += (a.axes[3 * row + axis] - b.axes[3 * row + axis]) * static_cast<double>(fields.dim[axis + 1] - 1);
      }
    }
    for (size_t axis = 0; axis < 3; ++axis) {
      const double length = a.length(axis);
      const double along = way[0] * a.axes[axis] + way[1] * a.axes[3 + axis] + way[2] * a.axes[6 + axis];
      if (length > 0) most = std::max(most, std::abs(along) / (length * length));
    }
  }
  return most;
}

std::string sizes_text(const std::array<double, 3>& sizes) {
  return concat(sizes[0], " x ", sizes[1], " x ", sizes[2]);
}

struct Choice {
  bool has_form = false, is_sform = false;
  Form form;
};

Choice choose(const NiftiFields& fields, const std::filesystem::path& path) {
  const bool has_q = fields.qform_code > 0, has_s = fields.sform_code > 0;
  if (!has_q && !has_s) return {};
  const std::array<double, 3> sizes = pixel_sizes(fields);
  const Form s = sform(fields);
  if (has_q) {
    const bool is_plain = has_s && most_skew(s.axes) <= kRight && has_sizes(s, sizes, kScale_mm);
    return is_plain && fields.sform_code == 1 ? Choice{true, true, s} : Choice{true, false, qform(fields)};
  }
  const auto fail = [&](const std::string& what, const std::string& hint) { fail_file(path, what, hint); };
  if (most_skew(s.axes) > kMostSkew) {
    fail(concat("the axes of its sform are not perpendicular (cosine ",
                number_text(std::round(1e4 * most_skew(s.axes)) / 1e4),
                "), and it has no qform: resample it on a grid with right angles"),
         "where slices are all that counts, give it a qform (nibabel: image.set_qform(image.affine, 1))");
  }
  if (!has_sizes(s, sizes, INFINITY)) {
    fail(concat("its sform has voxels of ", sizes_text({s.length(0), s.length(1), s.length(2)}), ", its pixdim of ",
                sizes_text(sizes), ", and it has no qform"),
         "write the right size into both (nibabel: nibabel.Nifti1Image(image.dataobj, the right affine))");
  }
  return {true, true, s};
}

// The first n parts of the first n columns, in LPS, of length 1.
std::array<double, 9> unit_axes(const Form& form, size_t n) {
  std::array<double, 9> axes{1, 0, 0, 0, 1, 0, 0, 0, 1};
  for (size_t axis = 0; axis < n; ++axis) {
    double sum = 0;
    for (size_t row = 0; row < n; ++row) sum += form.axes[3 * row + axis] * form.axes[3 * row + axis];
    const double length = sum > 0 ? std::sqrt(sum) : 1;
    for (size_t row = 0; row < n; ++row)
      axes[3 * row + axis] = form.axes[3 * row + axis] * (row < 2 ? -1.0 : 1.0) / length;
  }
  return axes;
}

}  // namespace

NiftiGrid nifti_grid(const NiftiFields& fields, const std::filesystem::path& path) {
  NiftiGrid grid;
  const double unit_mm = units_mm(fields);
  const std::array<double, 3> sizes = pixel_sizes(fields);
  for (size_t axis = 0; axis < 3; ++axis) {
    grid.size[axis] = fields.dim[axis + 1];
    grid.spacing_mm[axis] = static_cast<int64_t>(axis) < fields.dim[0] ? sizes[axis] * unit_mm : 1.0;
  }
  const bool is_vector = fields.intent_code == 1007 || fields.intent_code == 1005;  // vectors, symmetric matrices
  if (is_vector) grid.values_per_voxel = fields.dim[5];
  grid.num_volumes = 1;
  constexpr int64_t kMostVolumes = 1 << 20;
  for (size_t axis = 4; axis < 8; ++axis) {
    if (is_vector && axis == 5) continue;
    if (grid.num_volumes > kMostVolumes / fields.dim[axis])
      fail_file(path, concat("claims more than ", kMostVolumes, " volumes"), "the file is probably damaged");
    grid.num_volumes *= fields.dim[axis];
  }

  const Choice choice = choose(fields, path);
  if (!choice.has_form) return grid;
  size_t num_axes = std::min<size_t>(static_cast<size_t>(fields.dim[0]), 3);
  for (size_t axis = 0; axis < num_axes; ++axis) {
    double outside = 0;
    for (size_t row = num_axes; row < 3; ++row) outside = std::max(outside, std::abs(choice.form.axes[3 * row + axis]));
    if (outside > kInPlane * choice.form.length(axis)) num_axes = 3;
  }
  grid.direction = unit_axes(choice.form, num_axes);
  if (choice.is_sform && most_skew(choice.form.axes) > kRight) grid.direction = nearest_axes(grid.direction);
  for (size_t row = 0; row < num_axes; ++row)
    grid.origin_mm[row] = (row < 2 ? -choice.form.origin[row] : choice.form.origin[row]) * unit_mm;
  return grid;
}

std::string nifti_conflict(const std::filesystem::path& path, const std::string& name) {
  const std::string lower = to_lower(path.filename().string());
  if (!lower.ends_with(".nii") && !lower.ends_with(".nii.gz")) return "";
  const NiftiFile file(path);
  const NiftiFields& fields = file.fields();
  if (fields.qform_code <= 0 || fields.sform_code <= 0) return "";
  const double apart = most_apart(qform(fields), sform(fields), fields);
  if (apart <= kConflict) return "";
  return concat("the qform and the sform of ", name, " lie up to ", number_text(std::round(10 * apart) / 10),
                " voxels apart; its ", choose(fields, path).is_sform ? "sform" : "qform", " is used");
}

}  // namespace vmae::io
