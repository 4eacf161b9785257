#include "case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>

#include "vmae/cases/read_image.h"
#include "vmae/core/error.h"
#include "vmae/core/hash.h"
#include "vmae/data/intensity.h"
#include "vmae/image/picture.h"
#include "vmae/image/resize.h"

namespace vmae::run {
namespace {

namespace fs = std::filesystem;

void add_file(Sha256& hash, const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::vector<char> buffer(1 << 20);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0)
    hash.add(buffer.data(), static_cast<size_t>(in.gcount()));
}

std::string hash_of_files(const io::SourceFile& file) {
  Sha256 hash;
  for (const fs::path& path : files_of(file)) add_file(hash, path);
  return hex(hash.finish());
}

std::string hash_of_pixels(const io::Volume& volume) {
  Sha256 hash;
  hash.add(concat(volume.size[0], ' ', volume.size[1], ' ', volume.size[2], ' ', volume.channels, ' ',
                  io::name_of(volume.type)));
  for (const io::Scaling& scaling : volume.scaling)
    hash.add(concat(' ', number_text(scaling.slope), ' ', number_text(scaling.intercept)));
  hash.add(volume.stored.data(), volume.stored.size());
  return hex(hash.finish());
}

// Grey pictures are often stored as RGB with three equal channels: one says as much.
void drop_equal_channels(io::Volume& volume) {
  if (volume.channels != 3) return;
  io::visit(volume.type, [&]<class T>(T) {
    auto* values = reinterpret_cast<T*>(volume.stored.data());
    const size_t num_voxels = volume.stored.size() / sizeof(T) / 3;
    for (size_t i = 0; i < num_voxels; ++i) {
      if (values[3 * i] != values[3 * i + 1] || values[3 * i] != values[3 * i + 2]) return;
    }
    for (size_t i = 0; i < num_voxels; ++i) values[i] = values[3 * i];
    volume.channels = 1;
    volume.stored.resize(num_voxels * sizeof(T));
  });
}

data::ImageOptions intensity_options(const PrepareOptions& options, const std::string& intensity) {
  data::ImageOptions image;
  image.intensity = intensity;
  image.window = options.window;
  image.percentiles = options.percentiles;
  return image;
}

io::IntensityStats stats_of(const std::vector<float>& values, const PrepareOptions& options) {
  const data::IntensityRange percentiles = data::intensity_range(values, {}, intensity_options(options, "percentile"));
  const data::IntensityRange zscore = data::intensity_range(values, {}, intensity_options(options, "zscore"));
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {*low,
          *high,
          static_cast<float>(zscore.low),
          static_cast<float>(zscore.high - zscore.low),
          static_cast<float>(percentiles.low),
          static_cast<float>(percentiles.high)};
}

// A slice on its way: stored numbers as floats (exact for up to 24 bits), and its mask.
struct Slice {
  io::Image image;
  std::vector<uint8_t> mask;
};

io::PixelSize target_size(const io::Image& image, const PrepareOptions& options) {
  if (options.resize.empty()) return {image.height, image.width};
  if (!options.keep_aspect) return {options.resize[0], options.resize[1]};
  const double scale = std::min(static_cast<double>(options.resize[0]) / static_cast<double>(image.height),
                                static_cast<double>(options.resize[1]) / static_cast<double>(image.width));
  const auto scaled = [scale](int64_t side) {
    return std::max<int64_t>(1, std::llround(scale * static_cast<double>(side)));
  };
  return {scaled(image.height), scaled(image.width)};
}

void resize(Slice& slice, const PrepareOptions& options) {
  const io::PixelSize from{slice.image.height, slice.image.width}, to = target_size(slice.image, options);
  if (from == to) return;
  std::vector<float> pixels(static_cast<size_t>(to.height * to.width * slice.image.channels));
  io::resize(slice.image.pixels.data(), from, slice.image.channels, pixels.data(), to);
  if (!slice.mask.empty()) {  // the mask's pixel at the centre of each new one
    std::vector<uint8_t> mask(static_cast<size_t>(to.height * to.width));
    for (int64_t row = 0; row < to.height; ++row) {
      const int64_t from_row = (2 * row + 1) * from.height / (2 * to.height);
      for (int64_t column = 0; column < to.width; ++column) {
        mask[static_cast<size_t>(row * to.width + column)] =
            slice.mask[static_cast<size_t>(from_row * from.width + (2 * column + 1) * from.width / (2 * to.width))];
      }
    }
    slice.mask = std::move(mask);
  }
  slice.image.pixels = std::move(pixels);
  slice.image.height = to.height;
  slice.image.width = to.width;
}

template <class T>
std::vector<std::byte> rounded(const std::vector<float>& pixels) {
  std::vector<std::byte> bytes(pixels.size() * sizeof(T));
  auto* to = reinterpret_cast<T*>(bytes.data());
  for (size_t i = 0; i < pixels.size(); ++i) {
    if constexpr (std::is_integral_v<T>) {
      to[i] = static_cast<T>(
          std::clamp<double>(std::nearbyint(pixels[i]), std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
    } else {
      to[i] = static_cast<T>(pixels[i]);
    }
  }
  return bytes;
}

// To [0, 1] and then to all of 8 or 16 bits.
void bake(io::Image& image, const data::IntensityRange& range, double largest) {
  double low = range.low, high = range.high;
  if (range.per_slice) {
    const auto [smallest, biggest] = std::minmax_element(image.pixels.begin(), image.pixels.end());
    low = *smallest;
    high = *biggest;
  }
  for (float& pixel : image.pixels)
    pixel = high > low ? static_cast<float>(largest * std::clamp((pixel - low) / (high - low), 0.0, 1.0)) : 0.0F;
}

io::PackedItem pack_slice(const io::Volume& volume, const io::Volume& mask, int axis, int64_t index,
                          const io::IntensityStats& stats, const data::IntensityRange& range, int64_t case_number,
                          const PrepareOptions& options) {
  io::PreparedItem item;
  item.slice = index;
  item.channels = volume.channels;
  item.type = volume.type;
  item.scaling = volume.scaling_of(axis == 2 ? index : 0);
  item.stored_max = volume.stored_max;
  item.stats = stats;
  std::vector<std::byte> pixels, mask_bytes;
  if (!mask.stored.empty()) io::stored_slice_of(mask, axis, index, mask_bytes);
  Slice slice;
  slice.mask.resize(mask_bytes.size());
  std::memcpy(slice.mask.data(), mask_bytes.data(), mask_bytes.size());
  const bool is_baked = options.intensity != "native";
  if (!is_baked && options.resize.empty()) {
    item.height = volume.size[io::row_axis(axis)];
    item.width = volume.size[io::column_axis(axis)];
    io::stored_slice_of(volume, axis, index, pixels);
    return io::pack_item(item, pixels, slice.mask, case_number);
  }
  slice.image = io::slice_of(volume, axis, index);
  if (is_baked) {
    const double largest = options.bits == 8 ? 255 : 65535;
    bake(slice.image, range, largest);
    item.type = options.bits == 8 ? io::StoredType::u8 : io::StoredType::u16;
    item.scaling = {1.0 / largest, 0.0};  // to [0, 1]
    item.stored_max = largest;
    item.stats = {0, 1, 0, 0, 0, 1};
  } else {  // back to stored numbers, so that they keep their type
    for (float& pixel : slice.image.pixels)
      pixel = static_cast<float>((pixel - item.scaling.intercept) / item.scaling.slope);
  }
  resize(slice, options);
  item.height = slice.image.height;
  item.width = slice.image.width;
  pixels = io::visit(item.type, [&]<class T>(T) { return rounded<T>(slice.image.pixels); });
  return io::pack_item(item, pixels, slice.mask, case_number);
}

// Volumes whose slices have scalings of their own, cut across: the numbers of one slice then need units.
void unify_scaling(io::Volume& volume) {
  const std::vector<float> in_units = io::values(volume);
  volume.type = io::StoredType::f32;
  volume.scaling = {{}};
  volume.stored.resize(in_units.size() * sizeof(float));
  std::memcpy(volume.stored.data(), in_units.data(), volume.stored.size());
}

// Structures that a mask names get the dataset's numbers; those that the dataset does not name are background.
// classes: of prepare.structures, each of one structure or more; empty: each is the structure of its name.
std::vector<uint8_t> read_labels(const PlannedCase& planned, const io::Volume& volume,
                                 const std::vector<std::string>& mask_names, const std::vector<NamedTexts>& classes) {
  io::SourceFile file = planned.file;
  // so that volumes of its file are no time points
  if (!planned.channels.empty() || planned.channel_of >= 0) file.channels.resize(1);
  if (planned.structures.empty()) return io::read_mask(file, volume);
  std::vector<std::string> wanted;
  std::vector<uint8_t> number{0};
  for (size_t i = 0; i < mask_names.size(); ++i) {
    for (const std::string& name : classes.empty() ? std::vector{mask_names[i]} : classes[i].texts) {
      if (std::find(planned.structures.begin(), planned.structures.end(), name) == planned.structures.end()) continue;
      wanted.push_back(name);
      number.push_back(static_cast<uint8_t>(i + 1));
    }
  }
  if (wanted.empty())
    throw Error(ExitCode::data, "its mask has none of prepare.structures", "it has " + join(planned.structures, ", "));
  std::vector<uint8_t> labels = io::read_mask(file, volume, wanted);
  for (uint8_t& label : labels) label = number[label];
  return labels;
}

FinishedCase read_case(const PlannedCase& planned, int64_t case_number, const PrepareOptions& options,
                       const std::vector<std::string>& mask_names) {
  const io::SourceFile& file = planned.file;
  FinishedCase finished;
  io::PreparedCase& c = finished.a_case;
  c.source_sha256 = hash_of_files(file);
  io::Volume volume = io::read_image(file);
  io::Volume mask;
  mask.type = io::StoredType::u8;
  mask.size = volume.size;
  const std::vector<uint8_t> labels =
      read_labels(planned, volume, mask_names, classes_of_structures(options.structures));
  if (!labels.empty()) finished.mask_values = io::count_labels(labels.data(), labels.size());
  mask.stored.resize(labels.size());
  std::memcpy(mask.stored.data(), labels.data(), labels.size());
  c.pixels_sha256 = hash_of_pixels(volume);
  drop_equal_channels(volume);

  c.channels = planned.channels;
  c.channel_of = planned.channel_of;
  c.split = file.split;
  c.fold = file.fold;
  c.labels = file.labels;
  c.modality = volume.modality;
  c.units = volume.units;
  c.size = volume.size;
  c.spacing_mm = volume.spacing_mm;
  c.origin_mm = volume.origin_mm;
  c.direction = volume.direction;
  c.has_millimetres = !io::is_picture(file.path) || volume.size[2] == 1 || io::stack_spacing_mm(file.path).has_value();
  const bool is_stack = !file.series.empty() || io::is_picture(file.path);
  c.axis = is_stack ? 2 : io::slice_axis({volume.size, volume.spacing_mm}, options.slice_axis);
  if (c.axis != 2 && volume.scaling.size() > 1) unify_scaling(volume);

  const std::vector<float> values = io::values(volume);
  const io::IntensityStats stats = stats_of(values, options);  // refuses NaN and infinity
  const data::IntensityRange range =
      options.intensity == "native" ? data::IntensityRange{}
                                    : data::intensity_range(values, {volume.modality, volume.units, volume.stored_max},
                                                            intensity_options(options, options.intensity));
  for (int64_t i = 0; i < volume.size[static_cast<size_t>(c.axis)]; ++i) {
    finished.items.push_back(pack_slice(volume, mask, c.axis, i, stats, range, case_number, options));
  }
  c.items_sha256 = io::items_digest(finished.items);
  return finished;
}

}  // namespace

size_t FinishedCase::bytes() const {
  return std::accumulate(items.begin(), items.end(), size_t{0},
                         [](size_t sum, const io::PackedItem& item) { return sum + item.record.size(); });
}

FinishedCase prepare_case(const PlannedCase& planned, int64_t case_number, const PrepareOptions& options,
                          const std::vector<std::string>& mask_names, const Pseudonyms& pseudonyms) {
  FinishedCase finished;
  try {
    finished = read_case(planned, case_number, options, mask_names);
  } catch (const Error& error) {
    if (error.code() != ExitCode::data) throw;
    finished = {};
    finished.a_case.failure = pseudonyms.redact(
        error.hint().empty() ? error.what() : concat(error.what(), " (", error.hint(), ")"), planned.file);
  } catch (const std::bad_alloc&) {
    throw;  // the machine's fault, not the file's
  } catch (const std::exception& error) {
    finished = {};
    finished.a_case.failure = pseudonyms.redact(concat("can't be read: ", error.what()), planned.file);
  }
  finished.a_case.name = pseudonyms.name(planned.file.name);
  finished.a_case.patient = pseudonyms.patient(planned.file.patient);
  finished.a_case.is_patient_known = planned.file.is_patient_known;
  return finished;
}

}  // namespace vmae::run
