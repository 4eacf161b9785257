// Files to slices: headers are read once to count slices, voxels when a slice is wanted, through a cache.
#include <algorithm>
#include <numeric>
#include <optional>

#include "vmae/cases/read_image.h"
#include "vmae/cases/time_points.h"
#include "vmae/core/counting.h"
#include "vmae/core/crc32c.h"
#include "vmae/core/error.h"
#include "vmae/core/machine.h"
#include "vmae/core/parallel.h"
#include "vmae/data/case.h"
#include "vmae/data/file_source.h"
#include "vmae/image/picture.h"
#include "volume_cache.h"

namespace vmae::data {
namespace {

struct Item {
  size_t file;
  int axis;       // 0 x, 1 y, 2 z; -1 for a picture
  int64_t slice;  // along axis; 0 for a picture
};

struct Header {
  std::optional<io::VolumeHeader> volume;  // empty: a picture
  std::optional<Error> problem;
};

Header read_header(const io::SourceFile& file) {
  try {
    return {io::read_image_header(file), {}};
  } catch (const Error& error) {
    return {{}, error};
  } catch (const std::exception& error) {  // must not leave a thread
    return {{}, Error(ExitCode::data, concat(file.path.string(), ": ", error.what()))};
  }
}

// In the order of the files, whatever thread read which.
std::vector<Header> read_headers(const std::vector<io::SourceFile>& files) {
  std::vector<Header> headers(files.size());
  Counting counting("headers of images", std::ssize(files));
  const int threads = static_cast<int>(std::min<size_t>(static_cast<size_t>(usable_threads()), files.size() / 16));
  parallel_for(std::ssize(files), std::max(1, threads), [&](int64_t i) {
    headers[static_cast<size_t>(i)] = read_header(files[static_cast<size_t>(i)]);
    counting.add();
  });
  return headers;
}

// A series, and the pages of a TIFF, are stacked along z.
bool is_stack(const io::SourceFile& file) { return !file.series.empty() || io::is_picture(file.path); }

io::CommonAxis axis_of_files(const std::vector<io::SourceFile>& files, const std::vector<Header>& headers,
                             const std::vector<size_t>& header_of) {
  std::vector<io::VolumeHeader> volumes;
  for (size_t file = 0; file < files.size(); ++file) {
    const auto& volume = headers[header_of[file]].volume;
    if (volume && !is_stack(files[file])) volumes.push_back(*volume);
  }
  return io::common_slice_axis(volumes);
}

size_t cache_bytes() { return std::min<uint64_t>(uint64_t{512} << 20, memory_info().available_bytes / 4); }

class FileSource : public SampleSource {
 public:
  FileSource(std::vector<io::SourceFile> files, const ImageOptions& image, const Targets& targets,
             Quarantine& quarantine)
      : files_(std::move(files)), image_(image), reads_masks_(targets.mask), cache_(cache_bytes()) {
    quarantine.expect(static_cast<int64_t>(files_.size()));
    require(targets);
    const std::vector<Header> headers = read_headers(files_);
    const std::vector<size_t> header_of = add_time_points(headers);
    if (image_.slice_axis == "auto") find_common_axis(headers, header_of);
    for (size_t file = 0; file < files_.size(); ++file) {
      const auto& [volume, problem] = headers[header_of[file]];
      if (problem) {
        quarantine.add(files_[file].name, problem->what());
      } else if (volume) {
        const int axis = is_stack(files_[file]) ? 2 : io::slice_axis(*volume, image_.slice_axis);
        for (int64_t slice = 0; slice < volume->size[axis]; ++slice) items_.push_back({file, axis, slice});
      } else {
        items_.push_back({file, -1, 0});
      }
    }
  }

  int64_t size() const override { return static_cast<int64_t>(items_.size()); }
  int64_t num_files() const override { return static_cast<int64_t>(files_.size()); }
  std::string file_name(int64_t index) const override { return file_of(index).name; }
  std::string id(int64_t index) const override {
    const Item& item = items_.at(static_cast<size_t>(index));
    return item.axis < 0 ? file_name(index) : concat(file_name(index), '#', io::axis_name(item.axis), item.slice);
  }
  int64_t case_number(int64_t index) const override {
    return static_cast<int64_t>(items_.at(static_cast<size_t>(index)).file);
  }
  const float* labels(int64_t index) const override { return file_of(index).labels.data(); }
  uint32_t checksum(uint32_t crc) const override {
    for (const io::SourceFile& file : files_) crc = crc32c(file.name.data(), file.name.size() + 1, crc);
    return crc;
  }

  Slice read(int64_t index, bool with_mask, SliceBuffer& buffer) const override {
    const Item& item = items_.at(static_cast<size_t>(index));
    const int axis = item.axis < 0 ? 2 : item.axis;
    std::shared_ptr<const CachedVolume> read;
    // One that was read without its mask is another one: whoever wants the mask later must not find it.
    const bool has_mask = with_mask || reads_masks_;
    const size_t key = 2 * item.file + (has_mask ? 1 : 0);
    if (item.axis < 0) {
      cache_.remember_failure(
          key, [&] { read = std::make_shared<const CachedVolume>(read_file(files_[item.file], axis, has_mask)); });
    } else {
      read = cache_.get(key, [&] { return read_file(files_[item.file], axis, has_mask); });
    }
    if (item.slice >= read->volume.size[axis] || (item.axis < 0 && read->volume.size[2] > 1))
      throw Error(ExitCode::data, files_[item.file].path.string() +
                                      ": has changed since the run began: it has another number of slices now");
    Slice slice = slice_of(read, axis, item.slice, buffer);
    if (with_mask && !read->mask.stored.empty()) {
      io::stored_slice_of(read->mask, axis, item.slice, buffer.mask);
      slice.mask = reinterpret_cast<const uint8_t*>(buffer.mask.data());
    }
    return slice;
  }

  io::CommonAxis common_axis() const override { return common_axis_; }

 private:
  void find_common_axis(const std::vector<Header>& headers, const std::vector<size_t>& header_of) {
    common_axis_ = axis_of_files(files_, headers, header_of);
    if (common_axis_.axis >= 0) image_.slice_axis = io::axis_name(common_axis_.axis);
  }

  // A picture of bytes or floats is used where it lies; all else becomes floats in units.
  static Slice slice_of(const std::shared_ptr<const CachedVolume>& read, int axis, int64_t index, SliceBuffer& buffer) {
    const io::Volume& volume = read->volume;
    const bool is_plain = volume.type == io::StoredType::u8 || volume.type == io::StoredType::f32;
    if (is_plain && volume.size[2] == 1 && axis == 2 && volume.scaling_of(0) == io::Scaling{}) {
      buffer.owner = read;
      return {volume.size[1], volume.size[0], volume.channels, volume.type, volume.stored.data(), {},
              read->range,    nullptr};
    }
    buffer.image = io::slice_of(volume, axis, index);
    return {buffer.image.height,
            buffer.image.width,
            buffer.image.channels,
            io::StoredType::f32,
            buffer.image.pixels.data(),
            {},
            read->range,
            nullptr};
  }

  // The time points of a 4-D file become files of their own. -> which of `headers` each file has.
  std::vector<size_t> add_time_points(const std::vector<Header>& headers) {
    std::vector<io::SourceFile> expanded;
    std::vector<size_t> header_of;
    for (size_t i = 0; i < files_.size(); ++i) {
      const int64_t num_time_points = headers[i].volume ? headers[i].volume->num_time_points : 1;
      for (io::SourceFile& one : io::time_points_of(files_[i], num_time_points)) {
        expanded.push_back(std::move(one));
        header_of.push_back(i);
      }
    }
    files_ = std::move(expanded);
    return header_of;
  }

  const io::SourceFile& file_of(int64_t index) const { return files_[items_.at(static_cast<size_t>(index)).file]; }

  void require(const Targets& targets) const {
    const auto num_labels = static_cast<size_t>(targets.num_labels);
    for (const io::SourceFile& file : files_) {
      if (targets.mask && file.mask.empty())
        throw Error(ExitCode::data, concat(file.name, " has no mask"),
                    "give one for every image, or leave the image out");
      if (num_labels > 0 && file.labels.size() != num_labels)
        throw Error(ExitCode::data, concat(file.name, " has ", file.labels.size(), " labels; needed: ", num_labels),
                    "give all, or leave the image out");
    }
  }

  CachedVolume read_file(const io::SourceFile& file, int axis, bool with_mask) const {
    Case one = read_file_case(file, image_, axis);
    CachedVolume read{std::move(one.volume), one.range};
    if (with_mask && !file.mask.empty()) {
      const std::vector<uint8_t> map = io::read_mask(file, read.volume);
      const auto* bytes = reinterpret_cast<const std::byte*>(map.data());
      read.mask.size = read.volume.size;
      read.mask.type = io::StoredType::u8;
      read.mask.stored.assign(bytes, bytes + map.size());
    }
    return read;
  }

  std::vector<io::SourceFile> files_;
  std::vector<Item> items_;
  ImageOptions image_;
  bool reads_masks_;  // with every image, as they are wanted by training
  io::CommonAxis common_axis_;
  mutable VolumeCache cache_;  // shared by the worker threads
};

}  // namespace

io::CommonAxis common_axis_of(const std::vector<io::SourceFile>& files) {
  std::vector<size_t> each(files.size());
  std::iota(each.begin(), each.end(), size_t{0});
  return axis_of_files(files, read_headers(files), each);
}

std::unique_ptr<SampleSource> file_source(std::vector<io::SourceFile> files, const ImageOptions& image,
                                          const Targets& targets, Quarantine& quarantine) {
  return std::make_unique<FileSource>(std::move(files), image, targets, quarantine);
}

}  // namespace vmae::data
