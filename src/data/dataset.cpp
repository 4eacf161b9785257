// Files to samples: volume headers are read once to count slices, voxels when a slice is wanted, through a cache.
#include "vmae/data/dataset.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

#include "vmae/core/error.h"
#include "vmae/core/machine.h"
#include "vmae/core/random.h"
#include "vmae/data/transforms.h"
#include "vmae/io/picture.h"
#include "vmae/io/volume.h"
#include "volume_cache.h"

namespace vmae::data {
namespace {

struct Header {
  std::optional<io::VolumeHeader> volume;  // empty: a picture
  std::optional<Error> problem;
};

Header read_header(const io::SourceFile& file) {
  try {
    if (io::is_volume(file.path)) return {io::read_volume_header(file.path), {}};
    if (io::is_picture(file.path)) return {};
    return {{}, Error(ExitCode::data, concat(file.path.string(), " is of an unknown type"))};
  } catch (const Error& error) {
    return {{}, error};
  } catch (const std::exception& error) {  // must not leave a thread
    return {{}, Error(ExitCode::data, concat(file.path.string(), ": ", error.what()))};
  }
}

// In the order of the files, whatever thread read which.
std::vector<Header> read_headers(const std::vector<io::SourceFile>& files) {
  std::vector<Header> headers(files.size());
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < files.size(); i = next++) headers[i] = read_header(files[i]);
  };
  std::vector<std::jthread> threads;
  const size_t num_threads = std::min<size_t>(static_cast<size_t>(usable_threads()), files.size() / 16);
  for (size_t i = 1; i < num_threads; ++i) threads.emplace_back(work);
  work();
  threads.clear();
  return headers;
}

int axis_of(const io::VolumeHeader& header, const std::string& slice_axis) {
  if (slice_axis == "auto") return io::slice_axis(header);
  return slice_axis == "x" ? 0 : slice_axis == "y" ? 1 : 2;
}

size_t cache_bytes() { return std::min<uint64_t>(uint64_t{512} << 20, memory_info().available_bytes / 4); }

// Runs `step` so that its errors begin with the file's path.
template <class Step>
auto naming(const io::SourceFile& file, Step step) {
  try {
    return step();
  } catch (const Error& error) {
    throw Error(error.code(), concat(file.path.string(), ": ", error.what()), error.hint());
  }
}

}  // namespace

Dataset::Dataset(std::vector<io::SourceFile> files, ImageOptions image, std::shared_ptr<Quarantine> quarantine)
    : files_(std::move(files)), image_(std::move(image)), quarantine_(std::move(quarantine)), cache_(std::make_shared<VolumeCache>(cache_bytes())) {
  check(image_);
  quarantine_->expect(static_cast<int64_t>(files_.size()));
  const std::vector<Header> headers = read_headers(files_);
  for (size_t file = 0; file < files_.size(); ++file) {
    const auto& [volume, problem] = headers[file];
    if (problem) {
      quarantine_->add(files_[file].name, problem->what());
    } else if (volume) {
      const int axis = axis_of(*volume, image_.slice_axis);
      for (int64_t slice = 0; slice < volume->size[axis]; ++slice) items_.push_back({file, axis, slice});
    } else {
      items_.push_back({file, -1, 0});
    }
  }
  if (items_.empty()) throw Error(ExitCode::data, concat("none of ", files_.size(), " files is readable"), "see the warnings above for the reasons");
}

std::string Dataset::id(int64_t index) const {
  const Item& item = items_.at(static_cast<size_t>(index));
  const std::string& name = files_[item.file].name;
  return item.axis < 0 ? name : concat(name, '#', "xyz"[item.axis], item.slice);
}

uint64_t Dataset::sample_seed(uint64_t seed, int64_t epoch, int64_t index) { return derive_seed(seed, epoch, index); }

void Dataset::load_into(int64_t index, uint64_t seed, int64_t epoch, const AugmentOptions* augment, float* image) const {
  Flips flips;
  if (augment) {
    Random random(derive_seed(seed, Stream::augment, epoch, index));
    flips.horizontal = random.chance(augment->flip_horizontal);
    flips.vertical = random.chance(augment->flip_vertical);
  }
  const Item& item = items_.at(static_cast<size_t>(index));
  const io::SourceFile& file = files_[item.file];
  if (item.axis < 0) {
    cache_->remember_failure(item.file, [&] {
      io::Image picture = io::read_picture(file.path);
      naming(file, [&] {
        const IntensityRange range = intensity_range(picture.pixels, picture.stored_max, image_);
        to_input(std::move(picture), range, image_, flips, image);
      });
    });
    return;
  }
  const auto cached = cache_->get(item.file, [&] {
    CachedVolume read{io::read_volume(file.path), {}};
    read.range = naming(file, [&] { return intensity_range(io::values(read.volume), read.volume.stored_max, image_); });
    return read;
  });
  if (item.slice >= cached->volume.size[item.axis])
    throw Error(ExitCode::data, file.path.string() + ": has changed since the run began: it has fewer slices now");
  to_input(io::slice_of(cached->volume, item.axis, item.slice), cached->range, image_, flips, image);
}

Sample Dataset::load(int64_t index, uint64_t seed, int64_t epoch, const AugmentOptions* augment) const {
  Sample sample{at::empty({image_.in_channels, image_.image_size[0], image_.image_size[1]}, at::kFloat), id(index), sample_seed(seed, epoch, index)};
  load_into(index, seed, epoch, augment, sample.image.data_ptr<float>());
  return sample;
}

int64_t Dataset::load_readable_into(int64_t index, uint64_t seed, int64_t epoch, const AugmentOptions* augment, float* image) const {
  for (int64_t tried = 0; tried < size(); ++tried) {
    const int64_t candidate = (index + tried) % size();
    std::string reason;
    try {
      load_into(candidate, seed, epoch, augment, image);
      return candidate;
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;
      reason = error.what();
    }
    quarantine_->add(files_[items_[static_cast<size_t>(candidate)].file].name, reason);
  }
  throw Error(ExitCode::data, concat("none of ", files_.size(), " files is readable"), "see the warnings above for the reasons");
}

}  // namespace vmae::data
