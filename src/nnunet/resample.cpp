#include "vmae/nnunet/resample.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "vmae/nnunet/numpy.h"

namespace vmae::nnunet {
namespace {

constexpr double kSeparateAbove = 3;
constexpr int64_t kPadding = 12;  // of splines, with the value at the edge: SciPy's
const double kPole = std::sqrt(3.0) - 2;

// Which numbers of a row, with which weights, make each number of the new row.
struct Taps {
  size_t per_number = 1;
  std::vector<int64_t> index;
  std::vector<double> weight;
  bool is_spline = false;  // the row is one of coefficients, padded
};

Taps identity_taps(int64_t size) {
  Taps taps;
  taps.weight.assign(static_cast<size_t>(size), 1.0);
  for (int64_t i = 0; i < size; ++i) taps.index.push_back(i);
  return taps;
}

Taps linear_taps(int64_t size, int64_t new_size, double step) {
  Taps taps;
  taps.per_number = 2;
  for (int64_t i = 0; i < new_size; ++i) {
    const double place = std::clamp((static_cast<double>(i) + 0.5) * step - 0.5, 0.0, static_cast<double>(size - 1));
    const auto below = static_cast<int64_t>(std::floor(place));
    const double t = place - static_cast<double>(below);
    taps.index.insert(taps.index.end(), {below, std::min(below + 1, size - 1)});
    taps.weight.insert(taps.weight.end(), {1 - t, t});
  }
  return taps;
}

Taps cubic_taps(int64_t new_size, double step) {
  Taps taps;
  taps.per_number = 4;
  taps.is_spline = true;
  for (int64_t i = 0; i < new_size; ++i) {
    const double place = (static_cast<double>(i) + 0.5) * step - 0.5;
    const double below = std::floor(place), t = place - below, s = 1 - t;
    const double first = s * s * s / 6, second = (t * t * (t - 2) * 3 + 4) / 6, third = (s * s * (s - 2) * 3 + 4) / 6;
    taps.weight.insert(taps.weight.end(), {first, second, third, 1 - first - second - third});
    for (int64_t tap = -1; tap < 3; ++tap) taps.index.push_back(static_cast<int64_t>(below) + tap + kPadding);
  }
  return taps;
}

Taps taps_of(int64_t size, int64_t new_size, int64_t order) {
  if (size == new_size) return identity_taps(size);
  const double step = static_cast<double>(size) / static_cast<double>(new_size);
  return order == 1 ? linear_taps(size, new_size, step) : cubic_taps(new_size, step);
}

// Numbers to coefficients of a cubic B-spline that goes through them; beyond the ends they are mirrored.
void to_coefficients(double* row, int64_t size, int64_t stride) {
  const auto at = [&](int64_t i) -> double& { return row[i * stride]; };
  constexpr double kGain = 6;
  for (int64_t i = 0; i < size; ++i) at(i) *= kGain;
  const double around = std::pow(kPole, static_cast<double>(size)), first = at(0);
  double power = kPole, sum = first + around * at(size - 1);
  for (int64_t i = 1; i < size; ++i, power *= kPole) sum += power * (at(i) + around * at(size - 1 - i));
  at(0) = sum * kPole / (1 - around * around) + first;
  for (int64_t i = 1; i < size; ++i) at(i) += kPole * at(i - 1);
  at(size - 1) *= kPole / (kPole - 1);
  for (int64_t i = size - 2; i >= 0; --i) at(i) = kPole * (at(i + 1) - at(i));
}

struct Plane {
  int64_t height = 0, width = 0;
  std::vector<double> numbers;

  Plane(int64_t h, int64_t w) : height(h), width(w), numbers(static_cast<size_t>(h * w)) {}
  double& at(int64_t y, int64_t x) { return numbers[static_cast<size_t>(y * width + x)]; }
  double at(int64_t y, int64_t x) const { return numbers[static_cast<size_t>(y * width + x)]; }
};

// What the taps look at: the plane itself, or along axes with splines its coefficients.
Plane padded(const Plane& plane, const Taps& rows, const Taps& columns) {
  const int64_t top = rows.is_spline ? kPadding : 0, left = columns.is_spline ? kPadding : 0;
  Plane wide(plane.height + 2 * top, plane.width + 2 * left);
  for (int64_t y = 0; y < wide.height; ++y) {
    const int64_t from = std::clamp<int64_t>(y - top, 0, plane.height - 1);
    for (int64_t x = 0; x < wide.width; ++x)
      wide.at(y, x) = plane.at(from, std::clamp<int64_t>(x - left, 0, plane.width - 1));
  }
  if (rows.is_spline) {
    for (int64_t x = 0; x < wide.width; ++x) to_coefficients(&wide.at(0, x), wide.height, wide.width);
  }
  if (columns.is_spline) {
    for (int64_t y = 0; y < wide.height; ++y) to_coefficients(&wide.at(y, 0), wide.width, 1);
  }
  return wide;
}

// Products and sums in SciPy's order: a label that covers exactly half of a pixel is decided by the last bit.
Plane resampled(const Plane& plane, const Taps& rows, const Taps& columns) {
  const Plane from = padded(plane, rows, columns);
  Plane to(std::ssize(rows.index) / static_cast<int64_t>(rows.per_number),
           std::ssize(columns.index) / static_cast<int64_t>(columns.per_number));
  for (int64_t y = 0; y < to.height; ++y) {
    const size_t row = static_cast<size_t>(y) * rows.per_number;
    for (int64_t x = 0; x < to.width; ++x) {
      const size_t column = static_cast<size_t>(x) * columns.per_number;
      double sum = 0;
      for (size_t i = row; i < row + rows.per_number; ++i) {
        for (size_t j = column; j < column + columns.per_number; ++j)
          sum += from.at(rows.index[i], columns.index[j]) * rows.weight[i] * columns.weight[j];
      }
      to.at(y, x) = sum;
    }
  }
  return to;
}

// Number `index` of the planes across an axis; its rows and columns are the other two axes in their order.
struct Planes {
  std::array<int64_t, 3> shape{};
  size_t across = 0, row = 1, column = 2;

  Planes(const std::array<int64_t, 3>& s, int axis)
      : shape(s), across(static_cast<size_t>(axis)), row(axis == 0 ? 1 : 0), column(axis == 2 ? 1 : 2) {}
  size_t voxel(int64_t index, int64_t y, int64_t x) const {
    std::array<int64_t, 3> place{};
    place[across] = index;
    place[row] = y;
    place[column] = x;
    return static_cast<size_t>((place[0] * shape[1] + place[1]) * shape[2] + place[2]);
  }
  int64_t count() const { return shape[across]; }
  int64_t height() const { return shape[row]; }
  int64_t width() const { return shape[column]; }
  template <class F>
  void for_each_pixel(const F& f) const {
    for (int64_t y = 0; y < height(); ++y) {
      for (int64_t x = 0; x < width(); ++x) f(y, x);
    }
  }
};

// Takes planes across `axis`, resamples each, and leaves their number as it was. resample: (plane) -> plane.
template <class T, class Resample>
std::vector<T> plane_by_plane(const std::vector<T>& values, const Planes& from, const Planes& to,
                              const Resample& resample) {
  std::vector<T> result(static_cast<size_t>(to.shape[0] * to.shape[1] * to.shape[2]));
  Plane plane(from.height(), from.width());
  for (int64_t index = 0; index < from.count(); ++index) {
    from.for_each_pixel(
        [&](int64_t y, int64_t x) { plane.at(y, x) = static_cast<double>(values[from.voxel(index, y, x)]); });
    const Plane made = resample(plane);
    to.for_each_pixel([&](int64_t y, int64_t x) { result[to.voxel(index, y, x)] = static_cast<T>(made.at(y, x)); });
  }
  return result;
}

// Along the separate axis: the nearest plane.
template <class T>
std::vector<T> nearest_planes(const std::vector<T>& values, const Planes& from, const Planes& to) {
  std::vector<T> result(static_cast<size_t>(to.shape[0] * to.shape[1] * to.shape[2]));
  const double step = static_cast<double>(from.count()) / static_cast<double>(to.count());
  for (int64_t index = 0; index < to.count(); ++index) {
    const double place = step * (static_cast<double>(index) + 0.5) - 0.5;
    const auto nearest = std::clamp<int64_t>(static_cast<int64_t>(std::floor(place + 0.5)), 0, from.count() - 1);
    to.for_each_pixel([&](int64_t y, int64_t x) { result[to.voxel(index, y, x)] = values[from.voxel(nearest, y, x)]; });
  }
  return result;
}

Plane resampled_label_by_label(const Plane& plane, const Taps& rows, const Taps& columns) {
  Plane result(std::ssize(rows.index) / static_cast<int64_t>(rows.per_number),
               std::ssize(columns.index) / static_cast<int64_t>(columns.per_number));
  for (const double label : std::set<double>(plane.numbers.begin(), plane.numbers.end())) {
    Plane is_label(plane.height, plane.width);
    for (size_t i = 0; i < plane.numbers.size(); ++i) is_label.numbers[i] = plane.numbers[i] == label ? 1 : 0;
    const Plane share = resampled(is_label, rows, columns);
    for (size_t i = 0; i < share.numbers.size(); ++i) {
      if (share.numbers[i] >= 0.5) result.numbers[i] = label;
    }
  }
  return result;
}

// The grid of planes across `axis` after they were resampled and before their number changes.
std::array<int64_t, 3> shape_between(const std::array<int64_t, 3>& shape, std::array<int64_t, 3> new_shape, int axis) {
  new_shape[static_cast<size_t>(axis)] = shape[static_cast<size_t>(axis)];
  return new_shape;
}

// axis: that planes are across.
template <class T, class Resample>
std::vector<T> resample_planes(const std::vector<T>& values, const std::array<int64_t, 3>& shape,
                               const std::array<int64_t, 3>& new_shape, int64_t order, int axis,
                               const Resample& resample) {
  const Planes from(shape, axis), between(shape_between(shape, new_shape, axis), axis), to(new_shape, axis);
  const Taps rows = taps_of(from.height(), between.height(), order),
             columns = taps_of(from.width(), between.width(), order);
  std::vector<T> result =
      plane_by_plane(values, from, between, [&](const Plane& plane) { return resample(plane, rows, columns); });
  return from.count() == to.count() ? result : nearest_planes(result, between, to);
}

int axis_of_coarsest(const std::array<double, 3>& spacing) {
  const double most = *std::max_element(spacing.begin(), spacing.end());
  const bool is_one = std::count(spacing.begin(), spacing.end(), most) == 1;
  return is_one ? static_cast<int>(std::find(spacing.begin(), spacing.end(), most) - spacing.begin()) : -1;
}

bool is_anisotropic(const std::array<double, 3>& spacing) {
  const auto [least, most] = std::minmax_element(spacing.begin(), spacing.end());
  return *most / *least > kSeparateAbove;
}

}  // namespace

std::array<int64_t, 3> resampled_shape(const std::array<int64_t, 3>& shape, const std::array<double, 3>& spacing,
                                       const std::array<double, 3>& new_spacing) {
  std::array<int64_t, 3> new_shape{};
  for (size_t axis = 0; axis < 3; ++axis)
    new_shape[axis] = round_half_even(spacing[axis] / new_spacing[axis] * static_cast<double>(shape[axis]));
  return new_shape;
}

int separate_axis(const Resampling& resampling, const std::array<double, 3>& spacing,
                  const std::array<double, 3>& new_spacing) {
  if (resampling.force_separate_z) return *resampling.force_separate_z ? axis_of_coarsest(spacing) : -1;
  if (is_anisotropic(spacing)) return axis_of_coarsest(spacing);
  return is_anisotropic(new_spacing) ? axis_of_coarsest(new_spacing) : -1;
}

std::vector<float> resample_image(const std::vector<float>& values, const std::array<int64_t, 3>& shape,
                                  const std::array<int64_t, 3>& new_shape, const Resampling& resampling, int axis) {
  if (shape == new_shape) return values;
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  const double low = *least, high = *most;
  return resample_planes(values, shape, new_shape, resampling.order, std::max(axis, 0),
                         [&](const Plane& plane, const Taps& rows, const Taps& columns) {
                           const auto [lowest, highest] =
                               std::minmax_element(plane.numbers.begin(), plane.numbers.end());
                           const double from = axis < 0 ? low : *lowest, to = axis < 0 ? high : *highest;
                           Plane result = resampled(plane, rows, columns);
                           for (double& number : result.numbers) number = std::clamp(number, from, to);
                           return result;
                         });
}

std::vector<int16_t> resample_labels(const std::vector<int16_t>& labels, const std::array<int64_t, 3>& shape,
                                     const std::array<int64_t, 3>& new_shape, const Resampling& resampling, int axis) {
  if (shape == new_shape) return labels;
  return resample_planes(labels, shape, new_shape, resampling.order, std::max(axis, 0), resampled_label_by_label);
}

}  // namespace vmae::nnunet
