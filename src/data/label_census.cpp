#include "vmae/data/label_census.h"

#include <algorithm>
#include <mutex>

#include "vmae/core/counting.h"
#include "vmae/core/parallel.h"

namespace vmae::data {
namespace {

constexpr int64_t kTogether = 16;  // samples that a thread takes at once: neighbours are slices of one volume

io::LabelCounts histogram_of(const Slice& slice) {
  const auto n = static_cast<size_t>(slice.height * slice.width);
  if (slice.mask != nullptr) return io::count_labels(slice.mask, n);
  io::LabelCounts counts{};
  counts[0] = static_cast<int64_t>(n);
  return counts;
}

}  // namespace

LabelCensus take_census(const Dataset& dataset, int64_t ignore_label) {
  LabelCensus census;
  census.first_sample.fill(-1);
  census.samples.resize(static_cast<size_t>(dataset.size()));
  // of bytes: threads write side by side
  std::vector<uint8_t> has_foreground(static_cast<size_t>(dataset.size())), is_unusable(has_foreground.size());
  std::mutex mutex;
  Counting counting("slices of masks", dataset.size());
  const auto look_at = [&](int64_t index, SliceBuffer& buffer) {
    io::LabelCounts counts{};
    try {
      counts = histogram_of(dataset.read(index, /*with_mask=*/true, buffer));
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;
      is_unusable[static_cast<size_t>(index)] = 1;
      dataset.quarantine(index, error.what());
      return;
    }
    const std::lock_guard lock(mutex);
    for (size_t value = 0; value < counts.size(); ++value) {
      if (counts[value] == 0) continue;
      census.num_pixels[value] += counts[value];
      int64_t& first = census.first_sample[value];
      first = first < 0 ? index : std::min(first, index);
      if (value == 0) continue;
      census.samples[static_cast<size_t>(index)].emplace_back(static_cast<uint8_t>(value), counts[value]);
      if (static_cast<int64_t>(value) == ignore_label) continue;
      has_foreground[static_cast<size_t>(index)] = 1;
    }
  };
  parallel_for((dataset.size() + kTogether - 1) / kTogether, 0, [&](int64_t part) {
    SliceBuffer buffer;
    const int64_t end = std::min(dataset.size(), (part + 1) * kTogether);
    for (int64_t i = part * kTogether; i < end; ++i) look_at(i, buffer);
    counting.add(end - part * kTogether);
  });
  census.has_foreground.assign(has_foreground.begin(), has_foreground.end());
  census.num_with_foreground = std::count(has_foreground.begin(), has_foreground.end(), 1);
  census.is_unusable.assign(is_unusable.begin(), is_unusable.end());
  census.num_unusable = std::count(is_unusable.begin(), is_unusable.end(), 1);
  return census;
}

void add_facts(const LabelCensus& census, const Dataset& dataset, io::LabelFacts& facts) {
  facts.num_masks += dataset.size() - census.num_unusable;
  for (size_t value = 0; value < census.num_pixels.size(); ++value) {
    if (census.num_pixels[value] > 0 && facts.voxels[value] == 0)
      facts.first[value] = "the mask of " + dataset.id(census.first_sample[value]);
    facts.voxels[value] += census.num_pixels[value];
  }
}

LabelCensus in_classes(LabelCensus census, const io::LabelMeaning& meaning) {
  const LabelCensus values = census;
  census.num_pixels.fill(0);
  census.first_sample.fill(-1);
  for (size_t value = 0; value < values.num_pixels.size(); ++value) {
    if (values.num_pixels[value] == 0) continue;
    const size_t of_class = meaning.class_of[value];
    int64_t& first = census.first_sample[of_class];
    first = first < 0 ? values.first_sample[value] : std::min(first, values.first_sample[value]);
    census.num_pixels[of_class] += values.num_pixels[value];
  }
  return census;
}

}  // namespace vmae::data
