#include "vmae/data/case.h"

#include <algorithm>
#include <limits>

#include "vmae/cases/channels.h"
#include "vmae/cases/read_image.h"
#include "vmae/core/error.h"
#include "vmae/image/picture.h"
#include "vmae/prepared/prepared.h"

namespace vmae::data {

IntensityRange range_of(const io::Volume& volume, const ImageOptions& image) {
  const ImageKind kind{volume.modality, volume.units, volume.stored_max};
  const IntensityRule rule = intensity_rule(image, kind);
  // may hold NaN, which is an error
  const bool is_float = volume.type == io::StoredType::f32 || volume.type == io::StoredType::f64;
  return is_float || needs_values(rule) ? intensity_range(io::values(volume), kind, image)
                                        : fixed_range(rule, kind.stored_max, image);
}

namespace {

// The number of the slice along `axis` that a voxel lies in.
size_t slice_number(const io::Volume& volume, int axis, size_t voxel) {
  const auto x = static_cast<size_t>(volume.size[0]), y = static_cast<size_t>(volume.size[1]);
  if (axis == 0) return voxel % x;
  return axis == 1 ? voxel / x % y : voxel / (x * y);
}

// Numbers of one channel to where they go, every `stride` floats: as ToUnit (transforms.cpp) makes them.
void add_channel(const io::Volume& volume, const IntensityRange& range, int axis, int64_t stride, float* to) {
  const std::vector<float> numbers = io::values(volume);
  const auto count = static_cast<size_t>(range.per_slice ? volume.size[static_cast<size_t>(axis)] : 1);
  std::vector<std::pair<double, double>> ranges(count, {range.low, range.high});
  if (range.per_slice) {
    std::fill(ranges.begin(), ranges.end(),
              std::pair(std::numeric_limits<double>::max(), std::numeric_limits<double>::lowest()));
    for (size_t i = 0; i < numbers.size(); ++i) {
      auto& [low, high] = ranges[slice_number(volume, axis, i)];
      low = std::min<double>(low, numbers[i]);
      high = std::max<double>(high, numbers[i]);
    }
  }
  for (size_t i = 0; i < numbers.size(); ++i) {
    const auto& [low, high] = ranges[range.per_slice ? slice_number(volume, axis, i) : 0];
    // 0: a constant image
    const float value = high > low ? static_cast<float>((numbers[i] - low) * (1.0 / (high - low))) : 0.0F;
    to[static_cast<int64_t>(i) * stride] = range.clamp ? std::clamp(value, 0.0F, 1.0F) : value;
  }
}

// Each channel in [0, 1] by its own range.
Case stack_channels(const std::vector<io::Volume>& volumes, const std::vector<IntensityRange>& ranges, int axis) {
  Case one{volumes.front(), {0.0, 1.0, /*clamp=*/false}, axis};
  io::Volume& stacked = one.volume;
  stacked.channels = std::ssize(volumes);
  stacked.type = io::StoredType::f32;
  stacked.units = io::Units::raw;
  stacked.scaling = {{}};
  stacked.stored_max = 0;
  stacked.stored.resize(static_cast<size_t>(stacked.num_values()) * sizeof(float));
  auto* to = reinterpret_cast<float*>(stacked.stored.data());
  for (size_t i = 0; i < volumes.size(); ++i) add_channel(volumes[i], ranges[i], axis, stacked.channels, to + i);
  return one;
}

int axis_of(const io::SourceFile& file, const io::Volume& volume, const ImageOptions& image) {
  const bool is_stack = !file.series.empty() || io::is_picture(file.path);  // along z
  return is_stack ? 2 : io::slice_axis({volume.size, volume.spacing_mm}, image.slice_axis);
}

// Runs `step` so that its errors name the file.
template <class Step>
auto naming(const io::SourceFile& file, Step step) {
  try {
    return step();
  } catch (const Error& error) {
    const std::string path = file.path.string(), what = error.what();
    throw Error(error.code(), what.find(path) == std::string::npos ? concat(path, ": ", what) : what, error.hint());
  }
}

Case read_prepared(const io::SourceFile& file, const ImageOptions& image) {
  const io::PreparedDataset dataset(file.path);
  const int axis = dataset.read_case(file.prepared_case).axis;
  std::vector<io::Volume> volumes;
  std::vector<IntensityRange> ranges;
  for (int64_t channel = 0; channel < io::num_channels(file); ++channel) {
    const io::SourceFile one = io::channel_of(file, channel);
    io::Volume& volume = volumes.emplace_back(io::read_prepared_case(dataset, one.prepared_case));
    const bool is_native = dataset.info().intensity == "native";
    const ImageKind kind = known_as({volume.modality, volume.units, volume.stored_max}, one.modality);
    volume.modality = kind.modality;
    if (is_native) volume.units = kind.units;
    ranges.push_back(is_native ? range_of(volume, image) : IntensityRange{0.0, 1.0});
  }
  if (image.slice_axis != "auto" && volumes[0].size[2] > 1 && image.slice_axis != io::axis_name(axis))
    throw Error(ExitCode::data,
                concat("was prepared in slices along ", io::axis_name(axis), ", but the model learnt slices along ",
                       image.slice_axis),
                "predict from the original files, or prepare them again with prepare.slice_axis");
  return volumes.size() > 1 ? stack_channels(volumes, ranges, axis) : Case{std::move(volumes[0]), ranges[0], axis};
}

}  // namespace

Case read_file_case(const io::SourceFile& file, const ImageOptions& image, int axis) {
  if (file.channels.empty()) {
    return naming(file, [&] {
      io::Volume volume = io::read_image(file);
      const IntensityRange range = range_of(volume, image);
      const int own = axis >= 0 ? axis : axis_of(file, volume, image);
      return Case{std::move(volume), range, own};
    });
  }
  const std::vector<io::Volume> volumes = io::read_channels(file);
  std::vector<IntensityRange> ranges;
  for (size_t i = 0; i < volumes.size(); ++i) {
    const io::SourceFile channel = io::channel_of(file, static_cast<int64_t>(i));
    ranges.push_back(naming(channel, [&] { return range_of(volumes[i], image); }));
  }
  return stack_channels(volumes, ranges, axis >= 0 ? axis : axis_of(file, volumes[0], image));
}

Case read_case(const io::SourceFile& file, const ImageOptions& image) {
  if (file.prepared_case < 0) return read_file_case(file, image);
  return naming(file, [&] { return read_prepared(file, image); });
}

}  // namespace vmae::data
