#include "vmae/data/label_census.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

#include "vmae/core/machine.h"

namespace vmae::data {
namespace {

constexpr int64_t kTogether = 16;  // samples that a thread takes at once: neighbours are slices of one volume

using Histogram = std::array<int64_t, 256>;

Histogram histogram_of(const Slice& slice) {
  Histogram counts{};
  const int64_t n = slice.height * slice.width;
  if (slice.mask == nullptr) {
    counts[0] = n;
  } else {
    for (int64_t i = 0; i < n; ++i) ++counts[slice.mask[i]];
  }
  return counts;
}

}  // namespace

LabelCensus take_census(const Dataset& dataset, int64_t ignore_label) {
  LabelCensus census;
  census.first_sample.fill(-1);
  std::vector<uint8_t> has_foreground(static_cast<size_t>(dataset.size()));  // of bytes: threads write side by side
  std::mutex mutex;
  std::exception_ptr failure;
  std::atomic<int64_t> next{0};
  const auto look_at = [&](int64_t index, SliceBuffer& buffer) {
    Histogram counts{};
    try {
      counts = histogram_of(dataset.read(index, /*with_mask=*/true, buffer));
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;
      dataset.quarantine(index, error.what());
      return;
    }
    const std::lock_guard lock(mutex);
    for (size_t value = 0; value < counts.size(); ++value) {
      if (counts[value] == 0) continue;
      census.num_pixels[value] += counts[value];
      int64_t& first = census.first_sample[value];
      first = first < 0 ? index : std::min(first, index);
      if (value == 0 || static_cast<int64_t>(value) == ignore_label) continue;
      has_foreground[static_cast<size_t>(index)] = 1;
    }
  };
  const auto work = [&] {
    SliceBuffer buffer;
    try {
      for (int64_t begin = kTogether * next++; begin < dataset.size(); begin = kTogether * next++) {
        for (int64_t i = begin; i < std::min(dataset.size(), begin + kTogether); ++i) look_at(i, buffer);
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
      next = dataset.size();
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 1; i < usable_threads(); ++i) threads.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
  census.has_foreground.assign(has_foreground.begin(), has_foreground.end());
  census.num_with_foreground = std::count(has_foreground.begin(), has_foreground.end(), 1);
  for (int64_t value = 0; value < 256; ++value) {
    if (census.num_pixels[static_cast<size_t>(value)] > 0 && value != ignore_label) census.num_classes = value + 1;
  }
  return census;
}

void check_labels(const LabelCensus& census, const Dataset& dataset, int64_t num_classes, int64_t ignore_label) {
  for (int64_t value = num_classes; value < 256; ++value) {
    if (census.num_pixels[static_cast<size_t>(value)] == 0 || value == ignore_label) continue;
    throw Error(ExitCode::data,
                concat("the mask of ", dataset.id(census.first_sample[static_cast<size_t>(value)]), " holds the value ", value, ", but there are classes 0 to ",
                       num_classes - 1),
                "correct the mask, name all classes in data.classes, or set data.ignore_label to that value");
  }
}

}  // namespace vmae::data
