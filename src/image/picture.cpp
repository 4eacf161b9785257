// What the numbers of a picture mean, alike for all formats:
// palettes, few bits, orientation, pages. Decoders: picture_decode.h.
#include "vmae/image/picture.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "picture_check.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/core/machine.h"
#include "vmae/core/path_problem.h"
#include "vmae/image/file_name.h"
#include "vmae/image/picture_decode.h"

namespace vmae::io {

void fail_picture(const std::string& what, const std::string& hint) { throw Error(ExitCode::data, what, hint); }

namespace {

namespace fs = std::filesystem;

bool is_tiff_name(const fs::path& path) {
  const std::string extension = to_lower(path.extension().string());
  return extension == ".tif" || extension == ".tiff";
}

// Runs `step` so that its errors begin with the file's path.
template <class Step>
auto naming(const fs::path& path, Step step) {
  try {
    return step();
  } catch (const Error& error) {
    throw Error(error.code(), concat(path.string(), " ", error.what()), error.hint());
  } catch (const std::bad_alloc&) {
    throw Error(ExitCode::data, path.string() + " needs more memory than there is");
  }
}

// Once in a run for each kind: the same holds for many files.
void remark(const std::string& kind, const std::string& example = "") {
  static std::mutex mutex;
  static std::set<std::string> said;
  const std::lock_guard lock(mutex);
  if (said.insert(kind).second) log::warning(kind + example);
}

void check_exists(const fs::path& path) {
  if (const std::string problem = path_problem(path); !problem.empty()) fail_picture(problem);
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) fail_picture("is not a file");
}

bool is_grey(const Palette& palette) {
  return std::all_of(palette.begin(), palette.end(),
                     [](const auto& entry) { return entry[0] == entry[1] && entry[1] == entry[2]; });
}

// Index 0 black, the last of its depth white, even steps between.
bool is_ramp(const Palette& palette, int64_t bits) {
  const size_t last = (size_t{1} << bits) - 1;
  if (palette.size() != last + 1) return false;
  for (size_t i = 0; i <= last; ++i) {
    if (palette[i] != std::array<uint8_t, 3>{static_cast<uint8_t>(i * 255 / last), static_cast<uint8_t>(i * 255 / last),
                                             static_cast<uint8_t>(i * 255 / last)})
      return false;
  }
  return true;
}

std::array<bool, 256> used_indices(const Raster& raster) {
  std::array<bool, 256> is_used{};
  for (const std::byte index : raster.bytes) is_used[static_cast<size_t>(index)] = true;
  for (size_t i = raster.palette.size(); i < is_used.size(); ++i) {
    if (is_used[i]) fail_picture(concat("is damaged: it uses colour ", i, " of a palette of ", raster.palette.size()));
  }
  return is_used;
}

// Indices of masks: where index and grey say different things, it is told which was taken.
void check_mask_palette(const Raster& raster) {
  const std::array<bool, 256> is_used = used_indices(raster);
  if (!is_grey(raster.palette)) return;
  std::string indices, greys;
  int last = -1;
  bool is_same = true;
  for (size_t i = 0; i < raster.palette.size(); ++i) {
    if (!is_used[i]) continue;
    const int grey = raster.palette[i][0];
    if (grey <= last)
      fail_picture(concat("is a mask with a palette whose greys do not ascend with the index (index ", i, " is grey ",
                          grey, "): which of the two is the label?"),
                   "save it as a grey picture of label numbers, without a palette");
    last = grey;
    is_same &= static_cast<size_t>(grey) == i;
    indices += concat(indices.empty() ? "" : ", ", i);
    greys += concat(greys.empty() ? "" : ", ", grey);
  }
  if (!is_same)
    remark("masks with a palette of greys: their indices are the labels, not the greys",
           concat("; here ", indices, " and not ", greys));
}

void apply_palette(Raster& raster) {
  used_indices(raster);
  std::array<std::array<uint8_t, 3>, 256> colours{};
  std::copy(raster.palette.begin(), raster.palette.end(), colours.begin());
  if (is_grey(raster.palette)) {
    for (std::byte& index : raster.bytes) index = static_cast<std::byte>(colours[static_cast<size_t>(index)][0]);
    return;
  }
  std::vector<std::byte> pixels(raster.bytes.size() * 3);
  for (size_t i = 0; i < raster.bytes.size(); ++i)
    std::memcpy(pixels.data() + 3 * i, colours[static_cast<size_t>(raster.bytes[i])].data(), 3);
  raster.bytes = std::move(pixels);
  raster.channels = 3;
}

void spread_bits(Raster& raster) {
  const int step = 255 / ((1 << raster.bits) - 1);
  for (std::byte& value : raster.bytes) value = static_cast<std::byte>(static_cast<int>(value) * step);
}

// Upright: orientation 1 to 8 says where row 0 and column 0 of the
// file are to be seen (EXIF 2.3, tag 0x0112; TIFF 6.0, page 36).
void turn(Raster& raster) {
  const int64_t orientation = raster.orientation, h = raster.height, w = raster.width;
  if (orientation < 2 || orientation > 8) return;
  const bool swaps = orientation >= 5;
  // the upright's columns, or rows if they are swapped
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const auto size = static_cast<size_t>(raster.channels) * size_of(raster.type);
  std::vector<std::byte> upright(raster.bytes.size());
  std::byte* to = upright.data();
  for (int64_t row = 0; row < (swaps ? w : h); ++row) {
    for (int64_t column = 0; column < (swaps ? h : w); ++column, to += size) {
      const int64_t y = swaps ? column : row, x = swaps ? row : column;
      const int64_t from = (from_bottom ? h - 1 - y : y) * w + (from_right ? w - 1 - x : x);
      std::memcpy(to, raster.bytes.data() + static_cast<size_t>(from) * size, size);
    }
  }
  raster.bytes = std::move(upright);
  if (swaps) std::swap(raster.height, raster.width);
  raster.orientation = 1;
}

// A mask whose drawing is in its transparency: the numbers alone would make all of it one class, or nothing.
void refuse_drawn_alpha(const Raster& raster) {
  if (std::all_of(raster.opacity.begin(), raster.opacity.end(),
                  [&](uint8_t opacity) { return opacity == raster.opacity[0]; }))
    return;
  const size_t pixel_bytes = raster.bytes.size() / raster.opacity.size();
  bool is_even = true, has_hidden = false;
  for (size_t i = 0; i < raster.opacity.size(); ++i) {
    const std::byte* const pixel = raster.bytes.data() + i * pixel_bytes;
    is_even &= std::equal(pixel, pixel + pixel_bytes, raster.bytes.data());
    has_hidden |= raster.opacity[i] == 0 &&
                  std::any_of(pixel, pixel + pixel_bytes, [](std::byte byte) { return byte != std::byte{0}; });
  }
  if (is_even || has_hidden)
    fail_picture(concat("has transparency (alpha), in which ",
                        is_even ? "the drawing seems to be: all pixels have one colour" : "clear pixels hold labels"),
                 "save it without alpha, as greys or indices");
}

enum class Use : uint8_t { image, labels };

void interpret(Raster& raster, Use use) {
  if (!raster.palette.empty() && is_ramp(raster.palette, raster.bits)) raster.palette.clear();
  if (use == Use::labels && raster.is_inverted)
    fail_picture(
        concat("is a mask of ", raster.bits,
               " bits that stores white as 0 (photometric interpretation 0): its numbers can be read in two ways"),
        "save it with black as 0 (photometric interpretation 1)");
  if (use == Use::labels) refuse_drawn_alpha(raster);
  raster.opacity.clear();
  if (!raster.palette.empty() && use == Use::labels) {
    check_mask_palette(raster);
  } else if (!raster.palette.empty()) {
    apply_palette(raster);
  } else if (raster.bits < 8) {
    spread_bits(raster);
  }
  turn(raster);
}

struct Decoded {
  Volume volume;
  Raster first;  // without its bytes
};

void check_fits_memory(const TiffStack& stack, size_t page_bytes) {
  const double needed = static_cast<double>(stack.num_pages) * static_cast<double>(page_bytes);
  const auto available = static_cast<double>(memory_info().available_bytes);
  if (needed > available) {
    fail_picture(concat("is a stack of ", stack.num_pages, " pages of ", stack.width, " x ", stack.height,
                        " pixels, which needs ", human_bytes(needed), " to read; ", human_bytes(available),
                        " are free"));
  }
}

// The first page makes the volume, all others must be like it.
void append(Decoded& decoded, Raster&& raster, int64_t num_pages) {
  Volume& volume = decoded.volume;
  if (volume.size[2] == 0) {
    volume.size = {raster.width, raster.height, 1};
    volume.channels = raster.channels;
    volume.type = raster.type;
    volume.stored_max = raster.stored_max;
    volume.stored = std::move(raster.bytes);
    if (num_pages > 1) volume.stored.reserve(volume.stored.size() * static_cast<size_t>(num_pages));
    raster.bytes.clear();
    decoded.first = std::move(raster);
    return;
  }
  ++volume.size[2];
  if (raster.width != volume.size[0] || raster.height != volume.size[1] || raster.channels != volume.channels ||
      raster.type != volume.type)
    fail_picture(concat("is a TIFF whose page ", volume.size[2], " has ", raster.width, " x ", raster.height,
                        " pixels of ", raster.channels, " channels, ", name_of(raster.type), "; the first has ",
                        volume.size[0], " x ", volume.size[1], " of ", volume.channels, ", ", name_of(volume.type)),
                 "pages of one size and type make a volume; write others into files of their own");
  if (raster.palette != decoded.first.palette)
    fail_picture(concat("is a TIFF whose page ", volume.size[2], " has another palette than the first"),
                 "save all pages with one palette, or as greys");
  volume.stored.insert(volume.stored.end(), raster.bytes.begin(), raster.bytes.end());
}

Raster decode_single(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG")) return decode_png(bytes);
  if (bytes.starts_with("BM")) return decode_bmp(bytes);
  return decode_jpeg(bytes);
}

Decoded decode(const fs::path& path, Use use) {
  Decoded decoded;
  naming(path, [&] {
    check_exists(path);
    std::string bytes = read_file(path);
    if (const std::string problem = check_picture(bytes); !problem.empty()) fail_picture(problem);
    if (is_tiff(bytes)) {
      const TiffStack stack = decode_tiff(bytes, [&](const TiffStack& whole, Raster&& raster) {
        interpret(raster, use);
        if (decoded.volume.size[2] == 0) check_fits_memory(whole, raster.bytes.size());
        append(decoded, std::move(raster), whole.num_pages);
      });
      if (stack.num_skipped > 0) remark("TIFF pages that are marked as smaller copies or masks of others are left out");
      if (stack.num_below > 0)
        remark("TIFF pages that hang below others (SubIFDs: smaller copies, as a rule) are left out");
      return;
    }
    Raster raster = decode_single(bytes);
    interpret(raster, use);
    append(decoded, std::move(raster), 1);
  });
  Volume& volume = decoded.volume;
  if (volume.size[2] > 1) {
    if (!is_tiff_name(path))
      throw Error(ExitCode::data,
                  concat(path.string(), " is a TIFF of ", volume.size[2], " pages, whatever its name says"),
                  "let its name end in .tif");
    if (volume.channels == 1) volume.stored_max = 0;
  }
  return decoded;
}

// The spacing that nnU-Net's file beside a stack has; empty if there is no such file.
std::optional<std::array<double, 3>> sidecar_spacing(const fs::path& file) {
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return std::nullopt;
  const std::string text = read_file(file);
  const nlohmann::json json =
      is_deep_json(text) ? nlohmann::json() : nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("spacing")) return std::nullopt;  // of something else
  std::array<double, 3> spacing_mm{};
  const nlohmann::json& list = json["spacing"];
  bool is_good = list.is_array() && list.size() == 3;
  for (size_t i = 0; is_good && i < 3; ++i) {
    is_good = list[i].is_number() && list[i].get<double>() > 0 && std::isfinite(list[i].get<double>());
    if (is_good) spacing_mm[2 - i] = list[i].get<double>();  // z, y, x
  }
  if (!is_good) fail_file(file, "its \"spacing\" is not three numbers above 0", "it is [z, y, x] in millimetres");
  return spacing_mm;
}

}  // namespace

bool is_picture(const fs::path& path) { return kind_of(path) == FileKind::picture; }

int64_t exif_orientation(std::string_view exif) {
  const bool is_big = exif.starts_with("MM");
  if (!is_big && !exif.starts_with("II")) return 1;
  const auto number = [&](size_t at, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; at < exif.size() && size <= exif.size() - at && i < size; ++i)
      value = value << 8 | static_cast<unsigned char>(exif[is_big ? at + i : at + size - 1 - i]);
    return value;
  };
  const size_t directory = number(4, 4);
  for (size_t i = 0; i < number(directory, 2); ++i) {
    const size_t entry = directory + 2 + 12 * i;
    if (number(entry, 2) == 0x0112) return static_cast<int64_t>(number(entry + 8, 2));
  }
  return 1;
}

int64_t picture_orientation(const fs::path& path) {
  std::string bytes(size_t{1} << 16, '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  const auto behind = [&](std::string_view mark) {
    const size_t at = bytes.find(mark);
    return at == std::string::npos ? int64_t{1} : exif_orientation(std::string_view(bytes).substr(at + mark.size()));
  };
  int64_t orientation = 1;
  if (bytes.starts_with("\xFF\xD8")) {
    orientation = behind(std::string_view("Exif\0\0", 6));
  } else if (is_tiff(bytes) || bytes.starts_with("\x89PNG")) {
    bytes = read_file(path);  // the directory, or the chunk, may stand behind the pixels
    orientation = is_tiff(bytes) ? exif_orientation(bytes) : behind("eXIf");
  }
  return orientation >= 1 && orientation <= 8 ? orientation : 1;
}

void split_alpha(Raster& raster) {
  const auto own = static_cast<size_t>(raster.channels), num_pixels = static_cast<size_t>(raster.height * raster.width);
  visit(raster.type, [&]<class T>(T) {
    T full{1};
    if constexpr (std::is_integral_v<T>) {
      const bool has_fewer_bits = raster.bits < 8 * static_cast<int64_t>(sizeof(T));
      full = has_fewer_bits ? static_cast<T>((1LL << raster.bits) - 1) : std::numeric_limits<T>::max();
    }
    auto* values = reinterpret_cast<T*>(raster.bytes.data());
    raster.opacity.resize(num_pixels);
    for (size_t i = 0; i < num_pixels; ++i) {
      const T alpha = values[i * (own + 1) + own];
      raster.opacity[i] = alpha == full ? 2 : 1;
      if (alpha == T{0}) raster.opacity[i] = 0;
      std::copy_n(values + i * (own + 1), own, values + i * own);
    }
    raster.bytes.resize(num_pixels * own * sizeof(T));
  });
}

void cmyk_to_rgb(Raster& raster, bool is_inverted) {
  const size_t num_pixels = raster.bytes.size() / 4;
  for (size_t i = 0; i < num_pixels; ++i) {
    std::array<int, 4> ink{};
    for (size_t c = 0; c < 4; ++c) {
      const int stored = static_cast<int>(raster.bytes[4 * i + c]);
      ink[c] = is_inverted ? 255 - stored : stored;
    }
    const int white = 255 - ink[3];
    for (size_t c = 0; c < 3; ++c) {
      const int product = ink[c] * white + 128;
      raster.bytes[3 * i + c] = static_cast<std::byte>(std::clamp(white - (((product >> 8) + product) >> 8), 0, 255));
    }
  }
  raster.bytes.resize(3 * num_pixels);
  raster.channels = 3;
}

Volume picture_volume(const fs::path& path) {
  Volume volume = decode(path, Use::image).volume;
  if (volume.size[2] == 1) return volume;
  if (const auto spacing_mm = stack_spacing_mm(path)) volume.spacing_mm = *spacing_mm;
  return volume;
}

std::optional<VolumeHeader> picture_header(const fs::path& path) {
  if (!is_tiff_name(path)) return std::nullopt;
  const std::optional<TiffStack> stack = naming(path, [&]() -> std::optional<TiffStack> {
    check_exists(path);
    std::array<char, 4> magic{};
    std::ifstream(path, std::ios::binary).read(magic.data(), magic.size());
    if (!is_tiff({magic.data(), magic.size()})) return std::nullopt;  // another format, or none: reading it will say so
    return read_tiff_header(path.string());
  });
  if (!stack || stack->num_pages == 1) return std::nullopt;
  VolumeHeader header{.size = {stack->width, stack->height, stack->num_pages}};
  if (const auto spacing_mm = stack_spacing_mm(path)) header.spacing_mm = *spacing_mm;
  return header;
}

std::vector<fs::path> spacing_files(const fs::path& path) {
  const std::string stem = path.stem().string();
  std::vector<fs::path> files{path.parent_path() / (stem + ".json")};
  if (stem.size() > 5 && stem[stem.size() - 5] == '_' &&
      stem.find_first_not_of("0123456789", stem.size() - 4) == std::string::npos)
    files.push_back(path.parent_path() / (stem.substr(0, stem.size() - 5) + ".json"));
  return files;
}

std::optional<std::array<double, 3>> stack_spacing_mm(const fs::path& path) {
  const std::vector<fs::path> files = spacing_files(path);
  std::optional<std::array<double, 3>> found;
  for (const fs::path& file : files) {
    const auto spacing_mm = sidecar_spacing(file);
    if (found && spacing_mm && found != spacing_mm)
      throw Error(ExitCode::data,
                  concat(files[0].string(), " and ", files[1].string(), " give ", path.filename().string(),
                         " two different spacings"),
                  "remove one of them");
    if (spacing_mm) found = spacing_mm;
  }
  if (found) return found;
  const TiffStack stack = naming(path, [&] { return read_tiff_header(path.string()); });
  if (stack.spacing_mm[2] > 0) return stack.spacing_mm;
  return std::nullopt;
}

Image read_picture(const fs::path& path) {
  const Volume volume = picture_volume(path);
  if (volume.size[2] > 1)
    throw Error(ExitCode::data,
                concat(path.string(), " is a stack of ", volume.size[2], " pages where one picture is meant"));
  return slice_of(volume, 2, 0);
}

LabelPicture read_label_picture(const fs::path& path) {
  Decoded decoded = decode(path, Use::labels);
  LabelPicture picture{std::move(decoded.volume), false, decoded.first.bits, decoded.first.is_lossy,
                       std::move(decoded.first.palette)};
  if (picture.volume.size[2] == 1) return picture;
  if (const auto spacing_mm = stack_spacing_mm(path)) {
    picture.volume.spacing_mm = *spacing_mm;
    picture.has_millimetres = true;
  }
  return picture;
}

std::vector<std::array<uint8_t, 3>> picture_palette(const fs::path& path) {
  return naming(path, [&]() -> Palette {
    check_exists(path);
    std::string start(8, '\0');
    std::ifstream(path, std::ios::binary).read(start.data(), static_cast<std::streamsize>(start.size()));
    Palette palette;
    int64_t bits = 8;
    if (is_tiff(start)) {
      TiffStack stack = read_tiff_header(path.string());
      palette = std::move(stack.palette);
      bits = stack.bits;
    } else if (start.starts_with("\x89PNG")) {
      const std::string bytes = read_file(path);
      constexpr size_t kBitDepth = 24;
      palette = png_palette(bytes);
      if (bytes.size() > kBitDepth) bits = static_cast<unsigned char>(bytes[kBitDepth]);
    } else if (start.starts_with("BM")) {
      std::string bytes = read_file(path);
      if (const std::string problem = check_picture(bytes); !problem.empty()) fail_picture(problem);
      Raster raster = decode_bmp(bytes);
      palette = std::move(raster.palette);
      bits = raster.bits;
    }
    if (bits >= 1 && bits <= 8 && is_ramp(palette, bits)) palette.clear();
    return palette;
  });
}

std::string encode_png(const Image& image) {
  if (image.channels != 1 && image.channels != 3)
    throw Error(ExitCode::internal,
                concat("encode_png: an image of ", image.channels, " channels; 1 or 3 are written"));
  std::vector<unsigned char> bytes(image.pixels.size());
  for (size_t i = 0; i < bytes.size(); ++i) {
    const float value = std::isnan(image.pixels[i]) ? 0.0F : std::clamp(image.pixels[i], 0.0F, 255.0F);
    bytes[i] = static_cast<unsigned char>(std::lround(value));
  }
  return encode_png_bytes(bytes.data(), image.height, image.width, image.channels);
}

}  // namespace vmae::io
