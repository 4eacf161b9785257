#include "pixels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "vmae/core/error.h"

namespace vmae::io {
namespace {

static_assert(std::endian::native == std::endian::little, "frames are little endian numbers");

// Number `i` of a frame: the value's bits, then its sign.
template <class Allocated>
int64_t stored_number(const RawFrame& raw, bool is_signed, size_t i) {
  Allocated word;
  std::memcpy(&word, raw.bytes.data() + i * sizeof(Allocated), sizeof(Allocated));
  const auto shifted = static_cast<uint64_t>(word) >> (raw.high_bit + 1 - raw.bits_stored);
  const uint64_t value = shifted & ((uint64_t{1} << raw.bits_stored) - 1);
  const bool is_negative = is_signed && (value >> (raw.bits_stored - 1) & 1) != 0;
  return is_negative ? static_cast<int64_t>(value) - (int64_t{1} << raw.bits_stored) : static_cast<int64_t>(value);
}

template <class Stored, class Number>
void unpack_integers(const RawFrame& raw, const PixelFormat& pixels, Number number, std::byte* to) {
  const auto num_pixels = static_cast<size_t>(pixels.rows * pixels.columns),
             samples = static_cast<size_t>(pixels.samples);
  auto* out = reinterpret_cast<Stored*>(to);
  for (size_t i = 0; i < num_pixels; ++i) {
    for (size_t c = 0; c < samples; ++c)
      *out++ = static_cast<Stored>(number(raw.is_by_plane ? c * num_pixels + i : i * samples + c));
  }
}

// f(number): number(i) is the i-th number of the frame.
template <class F>
void with_numbers(const RawFrame& raw, bool is_signed, F f) {
  switch (raw.bits_allocated) {
    case 1:
      return f([&](size_t i) -> int64_t { return raw.bytes[i / 8] >> (i % 8) & 1; });
    case 8:
      return f([&](size_t i) { return stored_number<uint8_t>(raw, is_signed, i); });
    case 16:
      return f([&](size_t i) { return stored_number<uint16_t>(raw, is_signed, i); });
    default:
      return f([&](size_t i) { return stored_number<uint32_t>(raw, is_signed, i); });
  }
}

size_t numbers_in(const RawFrame& raw) {
  return raw.bits_allocated == 1 ? raw.bytes.size() * 8
                                 : raw.bytes.size() * 8 / static_cast<size_t>(raw.bits_allocated);
}

void apply_palette(const RawFrame& raw, const PixelFormat& pixels, const Palette& palette, std::byte* to) {
  const auto num_pixels = static_cast<size_t>(pixels.rows * pixels.columns);
  const auto put = [&]<class Stored>(Stored*, auto number) {
    auto* out = reinterpret_cast<Stored*>(to);
    for (size_t i = 0; i < num_pixels; ++i) {
      for (size_t c = 0; c < 3; ++c) {
        const auto last = static_cast<int64_t>(palette.entries[c].size()) - 1;
        const int64_t entry = std::clamp<int64_t>(number(i) - palette.first[c], 0, last);
        *out++ = static_cast<Stored>(palette.entries[c][static_cast<size_t>(entry)]);
      }
    }
  };
  with_numbers(raw, pixels.is_signed, [&](auto number) {
    if (pixels.palette_bits == 8) {
      put(static_cast<uint8_t*>(nullptr), number);
    } else {
      put(static_cast<uint16_t*>(nullptr), number);
    }
  });
}

// PS3.3 C.7.6.3.1.2. Full range: Y 0...max, Cb and Cr around the middle;
// partial range: Y from 16/256 to 235/256, Cb and Cr to 240/256.
template <class Stored>
void to_rgb(Stored* values, size_t num_pixels, int bits, bool is_partial) {
  const double max = std::pow(2.0, bits) - 1, middle = std::pow(2.0, bits - 1), unit = std::pow(2.0, bits - 8);
  const auto rounded = [max](double value) {
    return static_cast<Stored>(std::clamp(std::floor(value + 0.5), 0.0, max));
  };
  for (size_t i = 0; i < num_pixels; ++i, values += 3) {
    double y = static_cast<double>(values[0]), cb = static_cast<double>(values[1]) - middle,
           cr = static_cast<double>(values[2]) - middle;
    if (is_partial) {
      y = (y - 16 * unit) * (255.0 / 219.0);
      cb *= 255.0 / 224.0;
      cr *= 255.0 / 224.0;
    }
    values[0] = rounded(y + 1.402 * cr);
    // (0.114 * 1.772) / 0.587, (0.299 * 1.402) / 0.587
    values[1] = rounded(y - 0.344136286201022 * cb - 0.714136286201022 * cr);
    values[2] = rounded(y + 1.772 * cb);
  }
}

// Y Y Cb Cr of two neighbours each, rows of even length: as three numbers per pixel.
void expand_422(const RawFrame& raw, const PixelFormat& pixels, const std::filesystem::path& path, RawFrame& full) {
  if (raw.bits_allocated != 8 || pixels.columns % 2 != 0)
    fail_file(path,
              concat("has ", raw.photometric, " with ", raw.bits_allocated, " bits and ", pixels.columns, " columns"));
  full = raw;
  full.bytes.resize(static_cast<size_t>(pixels.rows * pixels.columns) * 3);
  uint8_t* out = full.bytes.data();
  for (size_t i = 0; i + 4 <= raw.bytes.size(); i += 4) {
    for (size_t k = 0; k < 2; ++k) {
      *out++ = raw.bytes[i + k];
      *out++ = raw.bytes[i + 2];
      *out++ = raw.bytes[i + 3];
    }
  }
  full.is_by_plane = false;
}

}  // namespace

void unpack_frame(const RawFrame& raw, const PixelFormat& pixels, const Palette& palette,
                  const std::filesystem::path& path, std::byte* to) {
  const auto num_pixels = static_cast<size_t>(pixels.rows * pixels.columns);
  const bool is_422 = raw.photometric == "YBR_FULL_422" || raw.photometric == "YBR_PARTIAL_422";
  if (is_422 && raw.bytes.size() == num_pixels * 2) {
    RawFrame full;
    expand_422(raw, pixels, path, full);
    return unpack_frame(full, pixels, palette, path, to);
  }
  if (numbers_in(raw) < num_pixels * static_cast<size_t>(pixels.samples))
    fail_file(path, "a frame of it is too short", "the file is probably cut off or damaged");
  const StoredType type = stored_type_of(pixels);
  if (pixels.kind != PixelKind::integer) {
    std::memcpy(to, raw.bytes.data(), num_pixels * size_of(type));
    return;
  }
  if (pixels.photometric == "PALETTE COLOR") return apply_palette(raw, pixels, palette, to);
  with_numbers(raw, pixels.is_signed && pixels.samples == 1, [&](auto number) {
    visit(type, [&]<class Stored>(Stored) { unpack_integers<Stored>(raw, pixels, number, to); });
  });
  if (!raw.photometric.starts_with("YBR")) return;
  const bool is_partial = raw.photometric.starts_with("YBR_PARTIAL");
  visit(type,
        [&]<class Stored>(Stored) { to_rgb(reinterpret_cast<Stored*>(to), num_pixels, raw.bits_stored, is_partial); });
}

std::vector<bool> find_padding(const RawFrame& raw, const PixelFormat& pixels, const std::byte* slice,
                               const std::array<double, 2>& range) {
  const auto num_values = static_cast<size_t>(pixels.rows * pixels.columns);
  std::vector<bool> is_padding(num_values);
  const auto find = [&](auto number) {
    for (size_t i = 0; i < num_values; ++i)
      is_padding[i] = static_cast<double>(number(i)) >= range[0] && static_cast<double>(number(i)) <= range[1];
  };
  const double lowest = pixels.is_signed ? -std::ldexp(1, pixels.bits_stored - 1) : 0;
  const double highest = std::ldexp(1, pixels.bits_stored - (pixels.is_signed ? 1 : 0)) - 1;
  if (pixels.kind == PixelKind::integer && (range[0] > highest || range[1] < lowest)) {
    RawFrame words = raw;
    words.bits_stored = raw.bits_allocated;
    words.high_bit = raw.bits_allocated - 1;
    with_numbers(words, pixels.is_signed, find);
  } else {
    visit(stored_type_of(pixels), [&]<class Stored>(Stored) {
      find([values = reinterpret_cast<const Stored*>(slice)](size_t i) { return values[i]; });
    });
  }
  return is_padding;
}

bool has_bits_above(const RawFrame& raw, const PixelFormat& pixels, const std::vector<bool>& is_padding) {
  if (pixels.kind != PixelKind::integer || raw.bits_allocated < 8 || raw.high_bit + 1 >= raw.bits_allocated)
    return false;
  const auto find = [&]<class Word>(Word) {
    const auto all = static_cast<Word>(static_cast<Word>(~Word{0}) >> (raw.high_bit + 1));
    const size_t num_words = numbers_in(raw);
    for (size_t i = 0; i < num_words; ++i) {
      Word word;
      std::memcpy(&word, raw.bytes.data() + i * sizeof(Word), sizeof(Word));
      const auto above = static_cast<Word>(word >> (raw.high_bit + 1));
      if (above != 0 && !(pixels.is_signed && above == all) && !(i < is_padding.size() && is_padding[i])) return true;
    }
    return false;
  };
  if (raw.bits_allocated == 8) return find(uint8_t{});
  return raw.bits_allocated == 16 ? find(uint16_t{}) : find(uint32_t{});
}

void fill_padding(StoredType type, std::byte* slice, const std::vector<bool>& is_padding) {
  visit(type, [&]<class Stored>(Stored) {
    auto* const values = reinterpret_cast<Stored*>(slice);
    bool is_found = false;
    Stored lowest{};
    for (size_t i = 0; i < is_padding.size(); ++i) {
      if (is_padding[i] || std::isnan(static_cast<double>(values[i])) || (is_found && values[i] >= lowest)) continue;
      lowest = values[i];
      is_found = true;
    }
    for (size_t i = 0; is_found && i < is_padding.size(); ++i) {
      if (is_padding[i]) values[i] = lowest;
    }
  });
}

void invert(const PixelFormat& pixels, std::byte* slice, size_t num_values) {
  visit(stored_type_of(pixels), [&]<class Stored>(Stored) {
    auto* const values = reinterpret_cast<Stored*>(slice);
    if constexpr (std::is_floating_point_v<Stored>) {
      for (size_t i = 0; i < num_values; ++i) values[i] = -values[i];
    } else {
      const int64_t sum = pixels.is_signed ? -1 : (int64_t{1} << pixels.bits_stored) - 1;
      for (size_t i = 0; i < num_values; ++i) values[i] = static_cast<Stored>(sum - static_cast<int64_t>(values[i]));
    }
  });
}

}  // namespace vmae::io
