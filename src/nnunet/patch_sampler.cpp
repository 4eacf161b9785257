#include "vmae/nnunet/patch_sampler.h"

#include <algorithm>
#include <iterator>
#include <span>

#include "vmae/nnunet/numpy.h"

namespace vmae::nnunet {
namespace {

using List = std::span<const Voxel>;

// The voxels that one is drawn of; empty: any place will do.
List list_of_draw(const PreprocessedFile& from, bool around_foreground, bool has_ignore, Random& random) {
  const std::vector<List>& lists = from.locations();
  const List annotated = has_ignore ? lists.back() : List{};
  if (!around_foreground) return annotated;
  std::vector<List> present;
  std::copy_if(lists.begin(), lists.end() - (has_ignore ? 1 : 0), std::back_inserter(present),
               [](const List& list) { return !list.empty(); });
  return present.empty() ? annotated : present[random.below(present.size())];
}

int64_t draw_begin(const BeginRange& range, Random& random) {
  return range.first + static_cast<int64_t>(random.below(static_cast<uint64_t>(range.last - range.first + 1)));
}

// Rows x columns of a slice into the patch, row by row.
template <class T>
void cut_slice(const T* slice, const std::array<int64_t, 3>& shape, const std::array<int64_t, 2>& begin,
               const std::array<int64_t, 2>& size, T outside, T* out) {
  const int64_t left = std::clamp(-begin[1], int64_t{0}, size[1]);
  const int64_t right = std::clamp(shape[2] - begin[1], left, size[1]);
  for (int64_t i = 0; i < size[0]; ++i, out += size[1]) {
    const int64_t row = begin[0] + i;
    if (row < 0 || row >= shape[1]) {
      std::fill_n(out, size[1], outside);
      continue;
    }
    std::fill_n(out, left, outside);
    std::copy_n(slice + row * shape[2] + begin[1] + left, right - left, out + left);
    std::fill_n(out + right, size[1] - right, outside);
  }
}

}  // namespace

bool wants_foreground(int64_t place_in_batch, int64_t batch_size, double share) {
  return place_in_batch >= round_half_even(static_cast<double>(batch_size) * (1 - share));
}

BeginRange begin_range(int64_t size, int64_t patch, int64_t initial) {
  const int64_t padding = std::max(initial - patch, initial - size), smaller_half = padding / 2;
  return {smaller_half - padding, size + padding - smaller_half - initial};
}

int64_t begin_around(int64_t voxel, int64_t size, int64_t patch, int64_t initial) {
  return std::max(begin_range(size, patch, initial).first, voxel - initial / 2);
}

PatchDraw draw_patch(const std::vector<std::shared_ptr<const PreprocessedFile>>& cases,
                     const std::array<int64_t, 2>& patch, const std::array<int64_t, 2>& initial, bool around_foreground,
                     bool has_ignore, Random& random) {
  PatchDraw draw;
  draw.number = random.below(cases.size());
  const PreprocessedFile& from = *cases[draw.number];
  const std::array<int64_t, 3>& shape = from.shape();
  const List list = list_of_draw(from, around_foreground, has_ignore, random);
  if (list.empty()) {
    draw.slice = static_cast<int64_t>(random.below(static_cast<uint64_t>(shape[0])));
    for (size_t axis = 0; axis < 2; ++axis)
      draw.begin[axis] = draw_begin(begin_range(shape[axis + 1], patch[axis], initial[axis]), random);
    return draw;
  }
  const Voxel& voxel = list[random.below(list.size())];
  draw.slice = voxel[0];
  for (size_t axis = 0; axis < 2; ++axis)
    draw.begin[axis] = begin_around(voxel[axis + 1], shape[axis + 1], patch[axis], initial[axis]);
  return draw;
}

void cut_patch(const PreprocessedFile& from, const PatchDraw& draw, const std::array<int64_t, 2>& initial, float* image,
               int16_t* labels) {
  const std::array<int64_t, 3>& shape = from.shape();
  const int64_t before = draw.slice * shape[1] * shape[2];
  for (int64_t channel = 0; channel < from.num_channels(); ++channel)
    cut_slice(from.channel(channel) + before, shape, draw.begin, initial, 0.0F,
              image + channel * initial[0] * initial[1]);
  cut_slice(from.labels() + before, shape, draw.begin, initial, int16_t{-1}, labels);
}

}  // namespace vmae::nnunet
