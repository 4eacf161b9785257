// TFRecord file of Event messages (tensorflow/core/util/event.proto, framework/summary.proto), encoded by hand.
//   record:  uint64 length | uint32 masked crc32c(length) | bytes | uint32 masked crc32c(bytes), little-endian;
//   masked(c) = rotate_right(c, 15) + 0xa282ead8 Event:   1 wall_time (double)  2 step (int64)  3 file_version
//   (string, first record only)  5 summary Summary: 1 value { 1 tag  2 simple_value (float)  4 image  8 tensor  9
//   metadata };  Image: 1 height  2 width  3 colorspace (= channels)  4 encoded A text is a string tensor (1 dtype =
//   7  2 shape { 2 dim { 1 size = 1 } }  8 string_val) with metadata { 1 plugin_data { 1 plugin_name = "text" } }.
#include "vmae/report/tensorboard.h"

#include <unistd.h>

#include <bit>
#include <chrono>

#include "vmae/core/append_file.h"
#include "vmae/core/crc32c.h"
#include "vmae/core/machine.h"
#include "vmae/core/text.h"

namespace vmae {
namespace {

template <class Unsigned>
void put_little_endian(std::string& out, Unsigned value) {
  for (size_t i = 0; i < sizeof value; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

// A field's head is (number << 3 | wire type); wire types: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
void put_integer(std::string& out, int field, int64_t value) {
  put_varint(out, static_cast<uint64_t>(field) << 3);
  put_varint(out, static_cast<uint64_t>(value));
}
void put_double(std::string& out, int field, double value) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | 1);
  put_little_endian(out, std::bit_cast<uint64_t>(value));
}
void put_float(std::string& out, int field, float value) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | 5);
  put_little_endian(out, std::bit_cast<uint32_t>(value));
}
void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | 2);
  put_varint(out, bytes.size());
  out += bytes;
}

uint32_t masked_crc(std::string_view bytes) { return std::rotr(crc32c(bytes.data(), bytes.size()), 15) + 0xa282ead8U; }

std::string record(std::string_view event) {
  std::string out;
  put_little_endian(out, uint64_t{event.size()});
  put_little_endian(out, masked_crc(out));
  out += event;
  put_little_endian(out, masked_crc(event));
  return out;
}

double unix_time_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

TensorBoardWriter::TensorBoardWriter(const std::filesystem::path& run_folder) {
  const double now_s = unix_time_s();
  const std::string name = concat("events.out.tfevents.", static_cast<int64_t>(now_s), ".", host_name(), ".", getpid());
  for (int attempt = 0; !file_ || !file_->is_open(); ++attempt) {  // two writers in one second
    file_ = std::make_unique<AppendFile>(run_folder / (attempt == 0 ? name : concat(name, ".", attempt)),
                                         AppendFile::Open::create_new);
  }
  std::string event;
  put_double(event, 1, now_s);
  put_bytes(event, 3, "brain.Event:2");
  file_->append(record(event));
}

TensorBoardWriter::~TensorBoardWriter() = default;

void TensorBoardWriter::scalar(std::string_view tag, double value, int64_t step) {
  std::string out;
  put_bytes(out, 1, tag);
  put_float(out, 2, static_cast<float>(value));
  write_summary(out, step);
}

void TensorBoardWriter::image(std::string_view tag, std::string_view png_bytes, int64_t height, int64_t width,
                              int64_t channels, int64_t step) {
  std::string picture, out;
  put_integer(picture, 1, height);
  put_integer(picture, 2, width);
  put_integer(picture, 3, channels);
  put_bytes(picture, 4, png_bytes);
  put_bytes(out, 1, tag);
  put_bytes(out, 4, picture);
  write_summary(out, step);
}

void TensorBoardWriter::text(std::string_view tag, std::string_view markdown, int64_t step) {
  std::string dim, shape, tensor, plugin, metadata, out;
  put_integer(dim, 1, 1);
  put_bytes(shape, 2, dim);
  put_integer(tensor, 1, 7);
  put_bytes(tensor, 2, shape);
  put_bytes(tensor, 8, markdown);
  put_bytes(plugin, 1, "text");
  put_bytes(metadata, 1, plugin);
  put_bytes(out, 1, tag);
  put_bytes(out, 8, tensor);
  put_bytes(out, 9, metadata);
  write_summary(out, step);
}

void TensorBoardWriter::flush() { file_->sync(); }

void TensorBoardWriter::write_summary(const std::string& value, int64_t step) {
  std::string summary, event;
  put_bytes(summary, 1, value);
  put_double(event, 1, unix_time_s());
  put_integer(event, 2, step);
  put_bytes(event, 5, summary);
  file_->append(record(event));
}

}  // namespace vmae
