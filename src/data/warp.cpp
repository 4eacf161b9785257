// Rows in blocks of 8 pixels. A block's first coordinate is computed in double and split into whole pixels
// and a rest; within the block the rest grows in float, so errors stay near 1e-6 pixels whatever the size
// of the image. Blocks whose pixels all have their neighbours inside take a path without conditions, with
// AVX2 where the processor has it; without fused multiply-add, so that every processor gives the same bits.
#include "vmae/data/warp.h"

#include <algorithm>
#include <cmath>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace vmae::data {
namespace {

constexpr int kWarpLanes = 8;
constexpr double kFar = 1 << 28;  // coordinates are cut here, far outside of any image, to fit 32 bits

// std::floor is a function call on processors before SSE4.1, which this is compiled for.
template <class T>
int32_t floor_of(T value) {
  const auto whole = static_cast<int32_t>(value);
  return static_cast<T>(whole) > value ? whole - 1 : whole;
}

// Where a block begins along one axis.
struct Start {
  int32_t whole;
  float rest;
  explicit Start(double at) {
    const double near = std::clamp(at, -kFar, kFar);
    whole = floor_of(near);
    rest = static_cast<float>(near - whole);
  }
};

// One lane: a pixel and the weight of the next one.
struct Position {
  int32_t index;
  float weight;
  Position(const Start& start, float step, int64_t lane) {
    const float at = start.rest + step * static_cast<float>(lane);
    const int32_t floored = floor_of(at);
    index = start.whole + floored;
    weight = at - static_cast<float>(floored);
  }
  int32_t nearest() const { return index + (weight >= 0.5F ? 1 : 0); }
};

// One row of the output.
struct Row {
  double x, y;  // where its first pixel lies in the input
  float x_step, y_step;
  Affine affine;
  Row(const Affine& a, int64_t row)
      : x(a.xy * static_cast<double>(row) + a.x0),
        y(a.yy * static_cast<double>(row) + a.y0),
        x_step(static_cast<float>(a.xx)),
        y_step(static_cast<float>(a.yx)),
        affine(a) {}
  Start x_start(int64_t column) const { return Start(affine.xx * static_cast<double>(column) + x); }
  Start y_start(int64_t column) const { return Start(affine.yx * static_cast<double>(column) + y); }
};

struct Range {
  int64_t begin, end;
};

// The blocks that lie inside [0, size - 1] along one axis, a
// little less than all: i with begin <= i * kWarpLanes < end is one.
Range inside_along(double start, double step, int64_t size, Range columns) {
  constexpr double kMargin = 1e-3, kLongestStep = 512;  // a block this long is still precise to less than the margin
  const double low = kMargin - start, high = static_cast<double>(size - 1) - kMargin - start;
  if (high < low || std::abs(step) > kLongestStep) return {0, 0};
  if (std::abs(step) * static_cast<double>(columns.end) < kMargin / 2)
    return low <= -kMargin / 2 && high >= kMargin / 2 ? columns : Range{0, 0};
  const double first = std::min(low / step, high / step), last = std::max(low / step, high / step);
  const double end = static_cast<double>(columns.end);
  return {std::max(columns.begin, static_cast<int64_t>(std::ceil(std::clamp(first, 0.0, end)))),
          std::min(columns.end, static_cast<int64_t>(std::floor(std::clamp(last, -1.0, end))) + 1)};
}

Range inside_blocks(const Row& row, PixelSize from, int64_t width) {
  Range columns = inside_along(row.x, row.affine.xx, from.width, {0, width});
  if (columns.end <= columns.begin) return {0, 0};
  const Range by_y = inside_along(row.y, row.affine.yx, from.height, {0, width});
  columns = {std::max(columns.begin, by_y.begin), std::min(columns.end, by_y.end)};
  columns = {(columns.begin + kWarpLanes - 1) / kWarpLanes * kWarpLanes, columns.end / kWarpLanes * kWarpLanes};
  return columns.end > columns.begin ? columns : Range{0, 0};
}

bool contains(const PixelSize& size, int64_t row, int64_t column) {
  return row >= 0 && row < size.height && column >= 0 && column < size.width;
}

float bilinear(float top_left, float top_right, float bottom_left, float bottom_right, float x, float y) {
  const float above = top_left + x * (top_right - top_left), below = bottom_left + x * (bottom_right - bottom_left);
  return above + y * (below - above);
}

float bilinear_anywhere(const Plane<float>& from, const Position& x, const Position& y, float border) {
  if (!contains(from.size, y.nearest(), x.nearest())) return border;
  const auto inside = [](int64_t i, int64_t size) { return std::clamp<int64_t>(i, 0, size - 1); };
  const int64_t left = inside(x.index, from.size.width), right = inside(int64_t{x.index} + 1, from.size.width);
  const float* top = from.pixels + inside(y.index, from.size.height) * from.row_stride;
  const float* bottom = from.pixels + inside(int64_t{y.index} + 1, from.size.height) * from.row_stride;
  return bilinear(top[left], top[right], bottom[left], bottom[right], x.weight, y.weight);
}

template <class T>
T nearest_anywhere(const Plane<T>& from, const Position& x, const Position& y, T border) {
  return contains(from.size, y.nearest(), x.nearest()) ? from.pixels[y.nearest() * from.row_stride + x.nearest()]
                                                       : border;
}

// Inside, per block of columns.
void bilinear_blocks(const Plane<float>& from, const Row& row, Range columns, float* to) {
  for (int64_t column = columns.begin; column < columns.end; column += kWarpLanes) {
    const Start x = row.x_start(column), y = row.y_start(column);
    for (int64_t lane = 0; lane < kWarpLanes; ++lane) {
      const Position px(x, row.x_step, lane), py(y, row.y_step, lane);
      const float* at = from.pixels + py.index * from.row_stride + px.index;
      to[column + lane] = bilinear(at[0], at[1], at[from.row_stride], at[from.row_stride + 1], px.weight, py.weight);
    }
  }
}

template <class T>
void nearest_blocks(const Plane<T>& from, const Row& row, Range columns, T* to) {
  for (int64_t column = columns.begin; column < columns.end; column += kWarpLanes) {
    const Start x = row.x_start(column), y = row.y_start(column);
    for (int64_t lane = 0; lane < kWarpLanes; ++lane)
      to[column + lane] = from.pixels[Position(y, row.y_step, lane).nearest() * from.row_stride +
                                      Position(x, row.x_step, lane).nearest()];
  }
}

#if defined(__x86_64__)
#define VMAE_AVX2 __attribute__((target("avx2"), always_inline)) inline

struct Lanes {
  __m256i index;
  __m256 weight;
};

VMAE_AVX2 Lanes lanes_of(double at, float step) {
  const double floored = std::floor(at);
  const __m256 number = _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256 position =
      _mm256_add_ps(_mm256_set1_ps(static_cast<float>(at - floored)), _mm256_mul_ps(_mm256_set1_ps(step), number));
  const __m256 whole = _mm256_floor_ps(position);
  return {_mm256_add_epi32(_mm256_set1_epi32(static_cast<int32_t>(floored)), _mm256_cvttps_epi32(whole)),
          _mm256_sub_ps(position, whole)};
}

VMAE_AVX2 __m256i nearest_of(const Lanes& lanes) {  // a comparison gives -1 where it holds
  return _mm256_sub_epi32(lanes.index,
                          _mm256_castps_si256(_mm256_cmp_ps(lanes.weight, _mm256_set1_ps(0.5F), _CMP_GE_OQ)));
}

// Pixels side by side at eight places: the left ones and the right ones. Loads in pairs are faster than gathers.
VMAE_AVX2 void load_pairs(const float* pixels, const int32_t* at, __m256& left, __m256& right) {
  const auto two = [&](int lane) __attribute__((target("avx2"), always_inline)) {
    const __m128d first = _mm_load_sd(reinterpret_cast<const double*>(pixels + at[lane]));
    return _mm_castpd_ps(_mm_loadh_pd(first, reinterpret_cast<const double*>(pixels + at[lane + 1])));
  };
  const __m256 even = _mm256_insertf128_ps(_mm256_castps128_ps256(two(0)), two(4), 1),
               odd = _mm256_insertf128_ps(_mm256_castps128_ps256(two(2)), two(6), 1);
  left = _mm256_shuffle_ps(even, odd, 0x88);
  right = _mm256_shuffle_ps(even, odd, 0xDD);
}

__attribute__((target("avx2"))) void bilinear_blocks_avx2(const Plane<float>& from, const Row& row, Range columns,
                                                          float* to) {
  const __m256i stride = _mm256_set1_epi32(static_cast<int32_t>(from.row_stride));
  alignas(32) int32_t at[kWarpLanes];
  for (int64_t column = columns.begin; column < columns.end; column += kWarpLanes) {
    const Lanes x = lanes_of(row.affine.xx * static_cast<double>(column) + row.x, row.x_step);
    const Lanes y = lanes_of(row.affine.yx * static_cast<double>(column) + row.y, row.y_step);
    _mm256_store_si256(reinterpret_cast<__m256i*>(at), _mm256_add_epi32(_mm256_mullo_epi32(y.index, stride), x.index));
    __m256 top_left, top_right, bottom_left, bottom_right;
    load_pairs(from.pixels, at, top_left, top_right);
    load_pairs(from.pixels + from.row_stride, at, bottom_left, bottom_right);
    const __m256 above = _mm256_add_ps(top_left, _mm256_mul_ps(x.weight, _mm256_sub_ps(top_right, top_left)));
    const __m256 below = _mm256_add_ps(bottom_left, _mm256_mul_ps(x.weight, _mm256_sub_ps(bottom_right, bottom_left)));
    _mm256_storeu_ps(to + column, _mm256_add_ps(above, _mm256_mul_ps(y.weight, _mm256_sub_ps(below, above))));
  }
}

__attribute__((target("avx2"))) void nearest_blocks_avx2(const Plane<uint8_t>& from, const Row& row, Range columns,
                                                         uint8_t* to) {
  const __m256i stride = _mm256_set1_epi32(static_cast<int32_t>(from.row_stride));
  alignas(32) int32_t at[kWarpLanes];
  for (int64_t column = columns.begin; column < columns.end; column += kWarpLanes) {
    const Lanes x = lanes_of(row.affine.xx * static_cast<double>(column) + row.x, row.x_step);
    const Lanes y = lanes_of(row.affine.yx * static_cast<double>(column) + row.y, row.y_step);
    _mm256_store_si256(reinterpret_cast<__m256i*>(at),
                       _mm256_add_epi32(_mm256_mullo_epi32(nearest_of(y), stride), nearest_of(x)));
    for (int lane = 0; lane < kWarpLanes; ++lane) to[column + lane] = from.pixels[at[lane]];
  }
}

// Offsets within the image must fit 32 bits.
template <class T>
bool use_avx2(const Plane<T>& from) {
  static const bool has_instructions = __builtin_cpu_supports("avx2") != 0;
  return has_instructions && from.row_stride * from.size.height < (int64_t{1} << 31);
}
#endif

template <class T, class Blocks, class Anywhere>
void warp(const Plane<T>& from, const Affine& affine, T* to, PixelSize to_size, const Blocks& blocks,
          const Anywhere& anywhere) {
  for (int64_t r = 0; r < to_size.height; ++r, to += to_size.width) {
    const Row row(affine, r);
    const Range fast = inside_blocks(row, from.size, to_size.width);
    blocks(from, row, fast, to);
    for (int64_t column = 0; column < to_size.width; column += kWarpLanes) {
      if (column >= fast.begin && column < fast.end) column = fast.end;
      if (column >= to_size.width) break;
      const Start x = row.x_start(column), y = row.y_start(column);
      for (int64_t lane = 0; lane < std::min<int64_t>(kWarpLanes, to_size.width - column); ++lane)
        to[column + lane] = anywhere(Position(x, row.x_step, lane), Position(y, row.y_step, lane));
    }
  }
}

}  // namespace

Affine then(const Affine& first, const Affine& second) {
  return {second.xx * first.xx + second.xy * first.yx,
          second.xx * first.xy + second.xy * first.yy,
          second.xx * first.x0 + second.xy * first.y0 + second.x0,
          second.yx * first.xx + second.yy * first.yx,
          second.yx * first.xy + second.yy * first.yy,
          second.yx * first.x0 + second.yy * first.y0 + second.y0};
}

void warp_bilinear(const Plane<float>& from, const Affine& affine, float border, float* to, PixelSize to_size,
                   bool is_portable) {
  auto* blocks = bilinear_blocks;
#if defined(__x86_64__)
  if (!is_portable && use_avx2(from)) blocks = bilinear_blocks_avx2;
#endif
  warp(from, affine, to, to_size, blocks,
       [&](const Position& x, const Position& y) { return bilinear_anywhere(from, x, y, border); });
}

void warp_nearest(const Plane<uint8_t>& from, const Affine& affine, uint8_t border, uint8_t* to, PixelSize to_size,
                  bool is_portable) {
  auto* blocks = nearest_blocks<uint8_t>;
#if defined(__x86_64__)
  if (!is_portable && use_avx2(from)) blocks = nearest_blocks_avx2;
#endif
  warp(from, affine, to, to_size, blocks,
       [&](const Position& x, const Position& y) { return nearest_anywhere(from, x, y, border); });
}

void warp_nearest(const Plane<float>& from, const Affine& affine, float border, float* to, PixelSize to_size) {
  warp(from, affine, to, to_size, nearest_blocks<float>,
       [&](const Position& x, const Position& y) { return nearest_anywhere(from, x, y, border); });
}

}  // namespace vmae::data
