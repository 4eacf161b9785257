#include "codec.h"

#include <zstd.h>

#include <cstring>
#include <memory>
#include <vector>

#include "vmae/core/error.h"

namespace vmae::io {
namespace {

constexpr int kLevel = 3;  // higher levels gain a few percent and cost several times the time

template <class F>
void with_unsigned(size_t value_bytes, F&& f) {
  if (value_bytes == 1) return f(uint8_t{});
  if (value_bytes == 2) return f(uint16_t{});
  if (value_bytes == 4) return f(uint32_t{});
  f(uint64_t{});
}

// Values to planes of bytes: all lowest bytes, then all second ones, ...
template <class T>
void split(const T* values, size_t count, std::byte* planes) {
  for (size_t plane = 0; plane < sizeof(T); ++plane) {
    for (size_t i = 0; i < count; ++i) planes[plane * count + i] = static_cast<std::byte>(values[i] >> (8 * plane));
  }
}

template <class T>
void join(const std::byte* planes, size_t count, T* values) {
  if constexpr (sizeof(T) == 2) {  // the common case in one pass
    for (size_t i = 0; i < count; ++i)
      values[i] = static_cast<T>(static_cast<unsigned>(planes[i]) | static_cast<unsigned>(planes[count + i]) << 8);
  } else {
    std::memset(values, 0, count * sizeof(T));
    for (size_t plane = 0; plane < sizeof(T); ++plane) {
      for (size_t i = 0; i < count; ++i)
        values[i] =
            static_cast<T>(values[i] | static_cast<T>(static_cast<T>(planes[plane * count + i]) << (8 * plane)));
    }
  }
}

std::string zstd(std::span<const std::byte> bytes) {
  std::string packed(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size = ZSTD_compress(packed.data(), packed.size(), bytes.data(), bytes.size(), kLevel);
  if (ZSTD_isError(size)) throw Error(ExitCode::internal, concat("zstd can't compress: ", ZSTD_getErrorName(size)));
  packed.resize(size);
  return packed;
}

struct FreeContext {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

void unpack(std::string_view packed, std::byte* to, size_t size) {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  const size_t got = ZSTD_decompressDCtx(context.get(), to, size, packed.data(), packed.size());
  if (ZSTD_isError(got))
    throw Error(ExitCode::data, concat("its compressed pixels are damaged: ", ZSTD_getErrorName(got)));
  if (got != size)
    throw Error(ExitCode::data, concat("its compressed pixels are ", got, " bytes, ", size, " were expected"));
}

}  // namespace

Compressed compress(std::span<const std::byte> pixels, const PixelLayout& layout) {
  Compressed best;
  with_unsigned(layout.value_bytes, [&]<class T>(T) {
    const size_t count = layout.num_rows * layout.row_values;
    std::vector<T> values(count);
    std::memcpy(values.data(), pixels.data(), layout.bytes());
    std::vector<std::byte> planes(layout.bytes());
    split(values.data(), count, planes.data());
    best = {Filter::none, zstd(planes)};
    for (size_t i = count; i-- > layout.row_values;)
      values[i] = static_cast<T>(values[i] - values[i - layout.row_values]);
    split(values.data(), count, planes.data());
    std::string filtered = zstd(planes);
    if (filtered.size() < best.bytes.size()) best = {Filter::up, std::move(filtered)};
  });
  return best;
}

std::string compress_mask(std::span<const std::byte> mask) { return zstd(mask); }

void decompress(std::string_view bytes, Filter filter, const PixelLayout& layout, std::byte* pixels) {
  thread_local std::vector<std::byte> planes;
  const bool is_split = layout.value_bytes > 1;
  if (is_split && planes.size() < layout.bytes()) planes.resize(layout.bytes());
  unpack(bytes, is_split ? planes.data() : pixels, layout.bytes());
  with_unsigned(layout.value_bytes, [&]<class T>(T) {
    auto* values = reinterpret_cast<T*>(pixels);
    if (is_split) join(planes.data(), layout.num_rows * layout.row_values, values);
    if (filter == Filter::none) return;
    for (size_t row = 1; row < layout.num_rows; ++row) {
      T* to = values + row * layout.row_values;
      const T* above = to - layout.row_values;
      for (size_t i = 0; i < layout.row_values; ++i) to[i] = static_cast<T>(to[i] + above[i]);
    }
  });
}

}  // namespace vmae::io
