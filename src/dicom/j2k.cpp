// ISO/IEC 15444-1 (and -15, HTJ2K) through OpenJPEG. It turns the codestream's
// own colour transform back, so YBR_ICT and YBR_RCT come out as RGB.
#include <openjpeg.h>

#include <algorithm>
#include <cstring>

#include "frames.h"
#include "vmae/core/error.h"
#include "vmae/core/text.h"

namespace vmae::io {
namespace {

struct Source {
  std::span<const uint8_t> bytes;
  size_t at = 0;
};

OPJ_SIZE_T read_source(void* to, OPJ_SIZE_T size, void* user) {
  auto& source = *static_cast<Source*>(user);
  const size_t count = std::min<size_t>(size, source.bytes.size() - source.at);
  if (count == 0) return static_cast<OPJ_SIZE_T>(-1);
  std::memcpy(to, source.bytes.data() + source.at, count);
  source.at += count;
  return count;
}

OPJ_OFF_T skip_source(OPJ_OFF_T size, void* user) {
  auto& source = *static_cast<Source*>(user);
  if (size < 0) return -1;
  source.at += std::min<size_t>(static_cast<size_t>(size), source.bytes.size() - source.at);
  return size;
}

OPJ_BOOL seek_source(OPJ_OFF_T at, void* user) {
  auto& source = *static_cast<Source*>(user);
  if (at < 0 || static_cast<size_t>(at) > source.bytes.size()) return OPJ_FALSE;
  source.at = static_cast<size_t>(at);
  return OPJ_TRUE;
}

void say_nothing(const char*, void*) {}

// OpenJPEG also "decodes" a stream that ends early, with a warning, and fills the rest with what it has.
void note_warning(const char* text, void* user) {
  for (const char* sign : {"truncated", "Truncated", "nexpected end", "marker reading", "not enough", "Not enough"}) {
    if (std::strstr(text, sign) != nullptr) *static_cast<bool*>(user) = true;
  }
}

struct Closer {
  void operator()(opj_codec_t* codec) const { opj_destroy_codec(codec); }
  void operator()(opj_image_t* image) const { opj_image_destroy(image); }
};
struct StreamCloser {
  void operator()(opj_stream_t* stream) const { opj_stream_destroy(stream); }
};

void check_image(const opj_image_t& image, const PixelFormat& pixels, const std::filesystem::path& path) {
  if (static_cast<int>(image.numcomps) != pixels.samples) {
    fail_file(path,
              concat("its JPEG 2000 stream has ", image.numcomps, " components, its header says ", pixels.samples));
  }
  for (OPJ_UINT32 i = 0; i < image.numcomps; ++i) {
    const opj_image_comp_t& component = image.comps[i];
    if (component.w != pixels.columns || component.h != pixels.rows || component.dx != 1 || component.dy != 1) {
      fail_file(path, concat("its JPEG 2000 stream is ", component.w, " x ", component.h, " pixels, its header says ",
                             pixels.columns, " x ", pixels.rows));
    }
    if (component.prec != image.comps[0].prec || component.sgnd != image.comps[0].sgnd)
      fail_file(path, "its JPEG 2000 stream has components of different types");
    if (component.prec > static_cast<OPJ_UINT32>(std::max(pixels.bits_allocated, 8))) {
      fail_file(path, concat("its JPEG 2000 stream has ", component.prec, " bits, its header allocates ",
                             pixels.bits_allocated));
    }
  }
}

template <class T>
void store(const opj_image_t& image, RawFrame& to) {
  const size_t num_pixels = static_cast<size_t>(image.comps[0].w) * image.comps[0].h;
  to.bytes.resize(num_pixels * image.numcomps * sizeof(T));
  auto* out = reinterpret_cast<T*>(to.bytes.data());
  for (OPJ_UINT32 c = 0; c < image.numcomps; ++c) {
    for (size_t i = 0; i < num_pixels; ++i) out[i * image.numcomps + c] = static_cast<T>(image.comps[c].data[i]);
  }
}

}  // namespace

void decode_jpeg2000(std::span<const uint8_t> stream, const PixelFormat& pixels, const std::filesystem::path& path,
                     RawFrame& to) {
  constexpr std::array<uint8_t, 4> kJp2Box{'j', 'P', ' ', ' '};
  const bool is_boxed = stream.size() > 12 && std::equal(kJp2Box.begin(), kJp2Box.end(), stream.begin() + 4);
  const std::unique_ptr<opj_codec_t, Closer> codec{
      static_cast<opj_codec_t*>(opj_create_decompress(is_boxed ? OPJ_CODEC_JP2 : OPJ_CODEC_J2K))};
  bool is_cut = false;
  opj_set_info_handler(codec.get(), say_nothing, nullptr);
  opj_set_warning_handler(codec.get(), note_warning, &is_cut);
  opj_set_error_handler(codec.get(), say_nothing, nullptr);

  Source source{stream};
  const std::unique_ptr<opj_stream_t, StreamCloser> input{
      static_cast<opj_stream_t*>(opj_stream_create(1 << 16, OPJ_TRUE))};
  opj_stream_set_user_data(input.get(), &source, nullptr);
  opj_stream_set_user_data_length(input.get(), stream.size());
  opj_stream_set_read_function(input.get(), read_source);
  opj_stream_set_skip_function(input.get(), skip_source);
  opj_stream_set_seek_function(input.get(), seek_source);

  opj_dparameters_t parameters;
  opj_set_default_decoder_parameters(&parameters);
  opj_image_t* raw_image = nullptr;
  const auto fail = [&] {
    fail_file(path, "its JPEG 2000 stream can't be decoded", "the file is probably cut off or damaged");
  };
  if (!opj_setup_decoder(codec.get(), &parameters)) fail();
  const bool has_header = opj_read_header(input.get(), codec.get(), &raw_image);
  const std::unique_ptr<opj_image_t, Closer> image(raw_image);
  if (!has_header || image == nullptr) fail();
  check_image(*image, pixels, path);  // before memory is taken for what the stream claims
  if (!opj_decode(codec.get(), input.get(), image.get()) || !opj_end_decompress(codec.get(), input.get()) || is_cut)
    fail();
  check_image(*image, pixels, path);
  for (OPJ_UINT32 i = 0; i < image->numcomps; ++i) {
    if (image->comps[i].data == nullptr) fail();
  }

  const int precision = static_cast<int>(image->comps[0].prec);
  to.bits_stored = precision;
  to.high_bit = precision - 1;
  to.is_by_plane = false;
  to.photometric = pixels.photometric == "YBR_ICT" || pixels.photometric == "YBR_RCT" ? "RGB" : pixels.photometric;
  if (precision <= 8) {
    to.bits_allocated = 8;
    store<uint8_t>(*image, to);
  } else if (precision <= 16) {
    to.bits_allocated = 16;
    store<uint16_t>(*image, to);
  } else {
    to.bits_allocated = 32;
    store<uint32_t>(*image, to);
  }
}

}  // namespace vmae::io
