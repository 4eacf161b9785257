#include "vmae/image/components.h"

#include <algorithm>
#include <numeric>

namespace vmae::io {
namespace {

// Runs that touch are joined (union-find): each has a parent that is no later one, the first of a component itself.
class Joined {
 public:
  explicit Joined(size_t count) : parents_(count) { std::iota(parents_.begin(), parents_.end(), size_t{0}); }
  size_t first(size_t run) {
    while (parents_[run] != run) {
      parents_[run] = parents_[parents_[run]];
      run = parents_[run];
    }
    return run;
  }
  void join(size_t a, size_t b) {
    a = first(a);
    b = first(b);
    parents_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<size_t> parents_;
};

// Joins the runs of two rows that are neighbours; a and b: their first runs and those behind the last.
void join_rows(std::span<const Run> runs, std::array<size_t, 2> a, std::array<size_t, 2> b, Joined& joined) {
  while (a[0] < a[1] && b[0] < b[1]) {
    const Run &one = runs[a[0]], &other = runs[b[0]];
    if (one.begin <= other.end && other.begin <= one.end) joined.join(a[0], b[0]);
    ++(one.end < other.end ? a[0] : b[0]);
  }
}

}  // namespace

std::vector<int64_t> components_of(std::span<const Run> runs, const std::array<int64_t, 3>& size) {
  std::vector<size_t> firsts(static_cast<size_t>(size[1] * size[2] + 1));  // of each row the first run
  for (const Run& run : runs) ++firsts[static_cast<size_t>(run.row + 1)];
  std::partial_sum(firsts.begin(), firsts.end(), firsts.begin());
  const auto runs_of = [&](int64_t row) {
    return std::array{firsts[static_cast<size_t>(row)], firsts[static_cast<size_t>(row + 1)]};
  };
  Joined joined(runs.size());
  for (int64_t row = 0; row < size[1] * size[2]; ++row) {
    const std::array<size_t, 2> own = runs_of(row);
    for (size_t i = own[0]; i + 1 < own[1]; ++i) {
      if (runs[i].end == runs[i + 1].begin) joined.join(i, i + 1);
    }
    const int64_t y = row % size[1];
    const bool has_slice_before = row >= size[1];
    if (y > 0) join_rows(runs, own, runs_of(row - 1), joined);
    for (int64_t j = std::max<int64_t>(0, y - 1); has_slice_before && j <= std::min(size[1] - 1, y + 1); ++j)
      join_rows(runs, own, runs_of(row - y - size[1] + j), joined);
  }
  std::vector<int64_t> numbers(runs.size());
  int64_t count = 0;
  for (size_t i = 0; i < runs.size(); ++i) {
    const size_t first = joined.first(i);
    numbers[i] = first == i ? count++ : numbers[first];
  }
  return numbers;
}

void keep_largest_components(std::span<uint8_t> labels, const std::array<int64_t, 3>& size) {
  std::array<std::vector<Run>, 256> runs_of;  // each label
  for (int64_t row = 0; row < size[1] * size[2]; ++row) {
    const std::span<const uint8_t> values =
        labels.subspan(static_cast<size_t>(row * size[0]), static_cast<size_t>(size[0]));
    for (auto begin = values.begin(); begin != values.end();) {
      const auto end = std::find_if(begin, values.end(), [&](uint8_t value) { return value != *begin; });
      if (*begin != 0)
        runs_of[*begin].push_back(
            {row, static_cast<int32_t>(begin - values.begin()), static_cast<int32_t>(end - values.begin())});
      begin = end;
    }
  }
  for (const std::vector<Run>& runs : runs_of) {
    if (runs.empty()) continue;
    const std::vector<int64_t> numbers = components_of(runs, size);
    std::vector<int64_t> voxels(runs.size());
    for (size_t i = 0; i < runs.size(); ++i) voxels[static_cast<size_t>(numbers[i])] += runs[i].end - runs[i].begin;
    const int64_t largest = std::max_element(voxels.begin(), voxels.end()) - voxels.begin();
    for (size_t i = 0; i < runs.size(); ++i) {
      if (numbers[i] != largest)
        std::fill_n(labels.begin() + runs[i].row * size[0] + runs[i].begin, runs[i].end - runs[i].begin, uint8_t{0});
    }
  }
}

}  // namespace vmae::io
