// Samples of several sources as one list: a sample is read by its source, then made network input.
#include "vmae/data/dataset.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "vmae/core/error.h"
#include "vmae/core/random.h"

namespace vmae::data {
namespace {

// Of this thread; workers reuse its memory for every sample.
SliceBuffer& slice_buffer() {
  thread_local SliceBuffer buffer;
  return buffer;
}

std::vector<std::unique_ptr<SampleSource>> open(std::vector<std::vector<io::SourceFile>> lists,
                                                const ImageOptions& image, const Targets& targets,
                                                Quarantine& quarantine) {
  std::vector<std::unique_ptr<SampleSource>> sources;
  for (auto& files : lists) sources.push_back(open_source(std::move(files), image, targets, quarantine));
  return sources;
}

std::vector<std::vector<io::SourceFile>> one(std::vector<io::SourceFile> files) {
  std::vector<std::vector<io::SourceFile>> lists;
  lists.push_back(std::move(files));
  return lists;
}

// Before anything is opened.
const ImageOptions& checked(const ImageOptions& image) {
  check(image);
  return image;
}

}  // namespace

Dataset::Dataset(std::vector<std::unique_ptr<SampleSource>> sources, ImageOptions image,
                 std::shared_ptr<Quarantine> quarantine, Targets targets)
    : sources_(std::move(sources)), image_(std::move(image)), quarantine_(std::move(quarantine)), targets_(targets) {
  check(image_);
  for (const auto& source : sources_) offsets_.push_back(offsets_.back() + source->size());
  if (size() == 0) throw nothing_readable();
}

Dataset::Dataset(std::vector<std::vector<io::SourceFile>> sources, const ImageOptions& image,
                 std::shared_ptr<Quarantine> quarantine, const Targets& targets)
    : Dataset(open(std::move(sources), checked(image), targets, *quarantine), image, quarantine, targets) {}

Dataset::Dataset(std::vector<io::SourceFile> files, const ImageOptions& image, std::shared_ptr<Quarantine> quarantine,
                 const Targets& targets)
    : Dataset(one(std::move(files)), image, std::move(quarantine), targets) {}

std::vector<int64_t> Dataset::source_sizes() const {
  std::vector<int64_t> sizes;
  for (const auto& source : sources_) sizes.push_back(source->size());
  return sizes;
}

std::vector<io::CommonAxis> Dataset::common_axes() const {
  std::vector<io::CommonAxis> axes;
  for (const auto& source : sources_) axes.push_back(source->common_axis());
  return axes;
}

uint32_t Dataset::checksum() const {
  uint32_t crc = 0;
  for (const auto& source : sources_) crc = source->checksum(crc);
  return crc;
}

Dataset::Place Dataset::place(int64_t index) const {
  const auto after = std::upper_bound(offsets_.begin(), offsets_.end() - 1, index);
  const auto source = static_cast<size_t>(after - offsets_.begin() - 1);
  return {*sources_.at(source), index - offsets_[source]};
}

std::string Dataset::id(int64_t index) const {
  const Place at = place(index);
  return at.source.id(at.index);
}

int64_t Dataset::case_number(int64_t index) const {
  const Place at = place(index);
  const int64_t source = std::upper_bound(offsets_.begin(), offsets_.end() - 1, index) - offsets_.begin() - 1;
  return (source << 40) + at.source.case_number(at.index);
}

std::string Dataset::case_name(int64_t index) const {
  const Place at = place(index);
  return at.source.case_name(at.index);
}

Slice Dataset::read(int64_t index, bool with_mask, SliceBuffer& buffer) const {
  const Place at = place(index);
  return read(at, with_mask, buffer);
}

// The mask of a slice, where it has one, lies in its buffer.
Slice Dataset::read(const Place& at, bool with_mask, SliceBuffer& buffer) const {
  const Slice slice = at.source.read(at.index, with_mask, buffer);
  if (with_mask && targets_.mask && slice.mask == nullptr)
    throw Error(ExitCode::internal, "a sample came without its mask");
  if (slice.mask == nullptr || !class_of_) return slice;
  auto* labels = reinterpret_cast<uint8_t*>(buffer.mask.data());
  for (size_t i = 0; i < buffer.mask.size(); ++i) labels[i] = (*class_of_)[labels[i]];
  return slice;
}

const float* Dataset::labels(int64_t index) const {
  const Place at = place(index);
  return at.source.labels(at.index);
}

void Dataset::quarantine(int64_t index, const std::string& reason, int64_t epoch) const {
  const Place at = place(index);
  quarantine_->add(at.source.file_name(at.index), reason, epoch);
}

uint64_t Dataset::sample_seed(uint64_t seed, int64_t epoch, int64_t index, uint64_t repeat) {
  return repeat == 0 ? derive_seed(seed, epoch, index) : derive_seed(seed, epoch, index, repeat);
}

void Dataset::load_into(int64_t index, uint64_t seed, int64_t epoch, const AugmentOptions* augment,
                        const SampleBuffers& buffers, uint64_t repeat) const {
  const Place at = place(index);
  const Slice slice = read(at, buffers.mask != nullptr, slice_buffer());
  const auto augmentation = [&](Stream stream) {
    if (augment == nullptr) return Augmentation{};
    const uint64_t key =
        repeat == 0 ? derive_seed(seed, stream, epoch, index) : derive_seed(seed, stream, epoch, index, repeat);
    return draw_augmentation(*augment, Random(key), {image_.image_size[0], image_.image_size[1]},
                             {slice.height, slice.width});
  };
  try {
    to_input(slice, image_, augmentation(Stream::augment), buffers);
    if (buffers.second_view != nullptr)
      to_input(slice, image_, augmentation(Stream::second_view), {buffers.second_view});
  } catch (const Error& error) {
    throw Error(error.code(), concat(at.source.file_name(at.index), ": ", error.what()), error.hint());
  }
  if (buffers.labels != nullptr) std::copy_n(at.source.labels(at.index), targets_.num_labels, buffers.labels);
}

Sample Dataset::load(int64_t index, uint64_t seed, int64_t epoch, const AugmentOptions* augment) const {
  Sample sample;
  sample.image = at::empty({image_.in_channels, image_.image_size[0], image_.image_size[1]}, at::kFloat);
  SampleBuffers buffers{sample.image.data_ptr<float>()};
  if (targets_.mask) {
    sample.mask = at::empty({image_.image_size[0], image_.image_size[1]}, at::kByte);
    buffers.mask = sample.mask.data_ptr<uint8_t>();
  }
  if (targets_.num_labels > 0) {
    sample.labels = at::empty({targets_.num_labels}, at::kFloat);
    buffers.labels = sample.labels.data_ptr<float>();
  }
  sample.id = id(index);
  sample.seed = sample_seed(seed, epoch, index);
  load_into(index, seed, epoch, augment, buffers);
  return sample;
}

bool Dataset::is_left_out(int64_t index) const {
  if (!quarantine_->leaves_some_out()) return false;
  const Place at = place(index);
  return quarantine_->is_left_out(at.source.file_name(at.index));
}

Loaded Dataset::load_readable_into(int64_t index, uint64_t seed, int64_t epoch, const AugmentOptions* augment,
                                   const SampleBuffers& buffers, int64_t occurrence) const {
  for (int64_t tried = 0; tried < size(); ++tried) {
    const int64_t candidate = (index + tried) % size();
    if (is_left_out(candidate)) continue;
    const uint64_t repeat = tried == 0 && occurrence == 0 ? 0 : derive_seed(static_cast<uint64_t>(index), occurrence);
    std::string reason;
    try {
      load_into(candidate, seed, epoch, augment, buffers, repeat);
      return {candidate, repeat};
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;
      reason = error.what();
    }
    quarantine(candidate, reason, epoch);
  }
  throw nothing_readable();
}

Error Dataset::nothing_readable() const {
  int64_t num_files = 0;
  for (const auto& source : sources_) num_files += source->num_files();
  return {ExitCode::data, concat("none of ", num_files, " files is readable"),
          "see the warnings above for the reasons"};
}

}  // namespace vmae::data
