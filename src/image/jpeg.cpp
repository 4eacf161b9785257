// JPEG through libjpeg(-turbo), with its defaults (accurate integer DCT, smooth
// upsampling): the pixels that OpenCV and Pillow see. It leaves by longjmp, so what
// it works on belongs to callers: no function that calls setjmp owns anything.
#include <cstdio>  // jpeglib.h needs it

#include <jerror.h>
#include <jpeglib.h>

#include <csetjmp>

#include "vmae/core/text.h"
#include "vmae/image/picture_decode.h"

namespace vmae::io {
namespace {

constexpr int kMaxScans = 500;  // a progressive JPEG has about ten; each costs a pass over all pixels

struct JpegReader {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf way_out{};
  std::array<char, JMSG_LENGTH_MAX> problem{};

  JpegReader();
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;
  ~JpegReader() { jpeg_destroy_decompress(&jpeg); }
};

void on_error(j_common_ptr jpeg) {
  auto& reader = *static_cast<JpegReader*>(jpeg->client_data);
  jpeg->err->format_message(jpeg, reader.problem.data());
  std::longjmp(reader.way_out, 1);
}

// Pixels that are guessed are no pixels: data that end in mid-picture,
// or codes that do not exist. Other oddities change nothing.
void on_message(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  switch (jpeg->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
      on_error(jpeg);
      break;
    default:
      break;
  }
}

void count_scans(j_common_ptr jpeg) {
  if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number > kMaxScans) ERREXIT(jpeg, JERR_BAD_PROGRESSION);
}

JpegReader::JpegReader() {
  jpeg.err = jpeg_std_error(&errors);
  errors.error_exit = on_error;
  errors.emit_message = on_message;
  errors.output_message = [](j_common_ptr) {};
  jpeg.client_data = this;
  progress.progress_monitor = count_scans;
}

bool read_header(JpegReader& reader, std::string_view bytes) {
  if (setjmp(reader.way_out)) return false;
  jpeg_create_decompress(&reader.jpeg);
  reader.jpeg.client_data = &reader;  // creating cleared all but the error handlers
  reader.jpeg.progress = &reader.progress;
  jpeg_mem_src(&reader.jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_save_markers(&reader.jpeg, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&reader.jpeg, TRUE);
  return true;
}

bool read_rows(JpegReader& reader, JSAMPLE* rows, size_t row_samples) {
  if (setjmp(reader.way_out)) return false;
  jpeg_start_decompress(&reader.jpeg);
  while (reader.jpeg.output_scanline < reader.jpeg.output_height) {
    JSAMPROW row = rows + reader.jpeg.output_scanline * row_samples;
    jpeg_read_scanlines(&reader.jpeg, &row, 1);
  }
  jpeg_finish_decompress(&reader.jpeg);
  return true;
}

[[noreturn]] void fail_jpeg(const JpegReader& reader) {
  fail_picture(concat("can't be decoded: it is damaged, or of an unknown kind (", reader.problem.data(), ")"));
}

}  // namespace

Raster decode_jpeg(std::string_view bytes) {
  JpegReader reader;
  if (!read_header(reader, bytes)) fail_jpeg(reader);
  Raster raster;
  raster.is_lossy = true;
  raster.width = reader.jpeg.image_width;
  raster.height = reader.jpeg.image_height;
  const int components = reader.jpeg.num_components;
  if (components != 1 && components != 3 && components != 4)
    fail_picture(concat("is a JPEG of ", components, " components; grey, RGB, YCbCr and CMYK are read"));
  for (const jpeg_marker_struct* marker = reader.jpeg.marker_list; marker != nullptr; marker = marker->next) {
    const std::string_view text(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (!text.starts_with(std::string_view("Exif\0\0", 6))) continue;
    raster.orientation = exif_orientation(text.substr(6));
    break;
  }
  reader.jpeg.out_color_space = components == 3 ? JCS_RGB : JCS_CMYK;
  if (components == 1) reader.jpeg.out_color_space = JCS_GRAYSCALE;
  const size_t row_samples = static_cast<size_t>(raster.width * components),
               num_rows = static_cast<size_t>(raster.height);
  raster.bytes.resize(row_samples * num_rows);
  if (!read_rows(reader, reinterpret_cast<JSAMPLE*>(raster.bytes.data()), row_samples)) fail_jpeg(reader);
  raster.channels = components == 1 ? 1 : 3;
  // as Adobe's programs write it, which all readers take for granted
  if (components == 4) cmyk_to_rgb(raster, /*is_inverted=*/true);
  return raster;
}

}  // namespace vmae::io
