// Places in the image are whole numbers of 2^-32 pixels: exact along a row, the same on every processor, and whole
// pixels and rests are shifts away.
#include "augment_spatial.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace vmae::nnunet {
namespace {

using Size = std::array<int64_t, 2>;

constexpr int kFixedBits = 32;
constexpr int64_t kOnePixel = int64_t{1} << kFixedBits;

int64_t to_fixed(double pixels) { return std::llround(std::ldexp(pixels, kFixedBits)); }

// How far it is from the pixel before to a place, of 1.
float fraction_of(int64_t place) {
  constexpr int kDropped = 8;  // a float has 24 bits
  return static_cast<float>(static_cast<int32_t>(static_cast<uint32_t>(place) >> kDropped)) * 0x1.0p-24F;
}

// A coordinate of the places that the columns of a row have in the image.
struct Line {
  int64_t start, step;
  int64_t at(int64_t column) const { return start + step * column; }
};

struct Columns {
  int64_t begin, end;
};

Columns both(const Columns& a, const Columns& b) {
  const int64_t begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

int64_t divide_up(int64_t a, int64_t b) { return a / b + (a % b > 0 ? 1 : 0); }  // b > 0

// Of `count` columns those with low <= place < high.
Columns columns_between(Line line, int64_t low, int64_t high, int64_t count) {
  if (line.step == 0) return line.start >= low && line.start < high ? Columns{0, count} : Columns{0, 0};
  if (line.step < 0) {
    line = {-line.start, -line.step};
    const int64_t mirrored_low = 1 - high;
    high = 1 - low;
    low = mirrored_low;
  }
  const auto first_from = [&](int64_t place) {
    return std::clamp<int64_t>(divide_up(place - line.start, line.step), 0, count);
  };
  return {first_from(low), first_from(high)};
}

// Rounded to a half-precision float, within its normal range: nnU-Net compares scores of labels in that.
float round_to_half(float value) {
  constexpr uint32_t kDropped = 13;  // bits
  auto bits = std::bit_cast<uint32_t>(value);
  bits += (1U << (kDropped - 1)) - 1 + ((bits >> kDropped) & 1U);
  return std::bit_cast<float>(bits >> kDropped << kDropped);
}

// Of four pixels, above left, above right, below left, below right.
int16_t prevailing_label(const std::array<int16_t, 4>& labels, float right, float below, size_t nearest) {
  constexpr float kScoreOfAll = 1000;
  const std::array<float, 4> weights{(1 - right) * (1 - below), right * (1 - below), (1 - right) * below,
                                     right * below};
  const auto score_of = [&](int16_t label) {
    float sum = 0;
    for (size_t i = 0; i < 4; ++i) sum += labels[i] == label ? kScoreOfAll * weights[i] : 0;
    return round_to_half(sum);
  };
  int16_t best = labels[0];
  float best_score = score_of(best);
  for (size_t i = 1; i < 4; ++i) {
    const float score = score_of(labels[i]);
    if (score < best_score || (score == best_score && labels[i] >= best)) continue;
    best = labels[i];
    best_score = score;
  }
  return score_of(labels[nearest]) == best_score ? labels[nearest] : best;
}

// The pixel that a place is nearest to is the next one; a half goes to the even one.
bool is_next_nearest(int64_t place) {
  const int64_t rest = place & (kOnePixel - 1), half = kOnePixel / 2;
  return rest > half || (rest == half && ((place >> kFixedBits) & 1) != 0);
}

// A row of the patch in an image of `size`.
struct PatchRow {
  Size size;
  Line row, column;  // coordinates in the image
  Columns touching;  // columns of the patch with at least one neighbour in the image; the rest is outside
  Columns inside;    // with all four
  int64_t width;     // of the patch

  int16_t label_at(const int16_t* labels, int64_t i) const;
  float value_at(const float* plane, int64_t i) const;
};

template <class T>
std::array<T, 4> neighbours(const T* plane, const Size& size, int64_t row, int64_t column, T outside) {
  const auto at = [&](int64_t r, int64_t c) {
    return r >= 0 && r < size[0] && c >= 0 && c < size[1] ? plane[r * size[1] + c] : outside;
  };
  return {at(row, column), at(row, column + 1), at(row + 1, column), at(row + 1, column + 1)};
}

int16_t PatchRow::label_at(const int16_t* labels, int64_t i) const {
  const int64_t y = row.at(i), x = column.at(i);
  return prevailing_label(neighbours(labels, size, y >> kFixedBits, x >> kFixedBits, kOutside), fraction_of(x),
                          fraction_of(y), (is_next_nearest(y) ? 2U : 0U) + (is_next_nearest(x) ? 1U : 0U));
}

float between(float a, float b, float weight) { return a + weight * (b - a); }

float PatchRow::value_at(const float* plane, int64_t i) const {
  const int64_t y = row.at(i), x = column.at(i);
  const auto [a, b, c, d] = neighbours(plane, size, y >> kFixedBits, x >> kFixedBits, 0.0F);
  return between(between(a, b, fraction_of(x)), between(c, d, fraction_of(x)), fraction_of(y));
}

// Rows and columns about the centres of patch and image: (c -s; s c).
PatchRow patch_row(const AugmentPlan& plan, double c, double s, int64_t number) {
  const auto middle = [](int64_t pixels) { return static_cast<double>(pixels - 1) / 2; };
  const double y = static_cast<double>(number) - middle(plan.patch[0]), x = -middle(plan.patch[1]);
  PatchRow row{plan.initial, {}, {}, {}, {}, plan.patch[1]};
  row.row = {to_fixed(c * y - s * x + middle(plan.initial[0])), to_fixed(-s)};
  row.column = {to_fixed(s * y + c * x + middle(plan.initial[1])), to_fixed(c)};
  const auto columns = [&](int64_t first, int64_t behind_last) {  // pixels above and left of the place
    return both(columns_between(row.row, first * kOnePixel, (plan.initial[0] + behind_last) * kOnePixel, row.width),
                columns_between(row.column, first * kOnePixel, (plan.initial[1] + behind_last) * kOnePixel, row.width));
  };
  row.touching = columns(-1, 0);
  row.inside = both(row.touching, columns(0, -1));
  if (row.inside.begin == row.inside.end) row.inside = {row.touching.begin, row.touching.begin};
  return row;
}

void place(const PatchRow& row, SpatialBuffers& buffers) {
  const auto width = static_cast<int32_t>(row.size[1]);
  int32_t* offsets = buffers.offsets.data();
  float *right = buffers.right.data(), *below = buffers.below.data();
  int64_t y = row.row.at(row.inside.begin), x = row.column.at(row.inside.begin);
  for (int64_t i = row.inside.begin; i < row.inside.end; ++i, y += row.row.step, x += row.column.step) {
    offsets[i] = static_cast<int32_t>(y >> kFixedBits) * width + static_cast<int32_t>(x >> kFixedBits);
    right[i] = fraction_of(x);
    below[i] = fraction_of(y);
  }
}

void sample_row(const PatchRow& row, const SpatialBuffers& buffers, const float* plane, float* to) {
  std::fill(to, to + row.touching.begin, 0.0F);
  for (int64_t i = row.touching.begin; i < row.inside.begin; ++i) to[i] = row.value_at(plane, i);
  const int32_t* offsets = buffers.offsets.data();
  const float *right = buffers.right.data(), *below = buffers.below.data();
  const int64_t width = row.size[1];
  for (int64_t i = row.inside.begin; i < row.inside.end; ++i) {
    const float *top = plane + offsets[i], *bottom = top + width;
    to[i] = between(between(top[0], top[1], right[i]), between(bottom[0], bottom[1], right[i]), below[i]);
  }
  for (int64_t i = row.inside.end; i < row.touching.end; ++i) to[i] = row.value_at(plane, i);
  std::fill(to + row.touching.end, to + row.width, 0.0F);
}

void sample_label_row(const PatchRow& row, const SpatialBuffers& buffers, const int16_t* labels, int16_t* to) {
  std::fill(to, to + row.touching.begin, kOutside);
  for (int64_t i = row.touching.begin; i < row.inside.begin; ++i) to[i] = row.label_at(labels, i);
  const int64_t width = row.size[1];
  for (int64_t i = row.inside.begin; i < row.inside.end; ++i) {
    const int16_t *top = labels + buffers.offsets[static_cast<size_t>(i)], *bottom = top + width;
    const bool is_one = ((top[0] ^ top[1]) | (top[0] ^ bottom[0]) | (top[0] ^ bottom[1])) == 0;  // one branch
    to[i] = is_one ? top[0] : row.label_at(labels, i);
  }
  for (int64_t i = row.inside.end; i < row.touching.end; ++i) to[i] = row.label_at(labels, i);
  std::fill(to + row.touching.end, to + row.width, kOutside);
}

}  // namespace

Size central_corner(const Size& size, const Size& patch) {
  return {size[0] / 2 - patch[0] / 2, size[1] / 2 - patch[1] / 2};
}

void turn_and_scale(const AugmentPlan& plan, double rotation, double scale, const float* image, const int16_t* labels,
                    int64_t num_channels, SpatialBuffers& buffers, float* image_out, int16_t* labels_out) {
  const auto width = static_cast<size_t>(plan.patch[1]);
  buffers.offsets.resize(width);
  buffers.right.resize(width);
  buffers.below.resize(width);
  const int64_t plane = plan.initial[0] * plan.initial[1], patch = plan.patch[0] * plan.patch[1];
  const double c = scale * std::cos(rotation), s = scale * std::sin(rotation);
  for (int64_t number = 0; number < plan.patch[0]; ++number) {
    const PatchRow row = patch_row(plan, c, s, number);
    place(row, buffers);
    for (int64_t channel = 0; channel < num_channels; ++channel)
      sample_row(row, buffers, image + channel * plane, image_out + channel * patch + number * row.width);
    sample_label_row(row, buffers, labels, labels_out + number * row.width);
  }
}

}  // namespace vmae::nnunet
