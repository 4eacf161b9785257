#include "deflate_file.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "vmae/core/error.h"

namespace vmae::io {

struct DeflateFile::State {
  AtomicFile& file;
  z_stream stream{};
  std::array<unsigned char, 1 << 16> out;
  size_t num_out = 0;

  // Until all input is taken; with Z_FINISH until the end of the stream is out.
  void run(int flush) {
    int code = Z_OK;
    do {
      stream.next_out = out.data();
      stream.avail_out = static_cast<uInt>(out.size());
      code = deflate(&stream, flush);
      if (code == Z_STREAM_ERROR) throw Error(ExitCode::internal, "zlib can't compress");
      const size_t made = out.size() - stream.avail_out;
      file.write(out.data(), made);
      num_out += made;
    } while (stream.avail_out == 0 || (flush == Z_FINISH && code != Z_STREAM_END));
  }
};

DeflateFile::DeflateFile(AtomicFile& file, Wrapper wrapper) : state_(std::make_unique<State>(State{file, {}, {}})) {
  const int window_bits = MAX_WBITS + (wrapper == Wrapper::gzip ? 16 : 0);
  if (deflateInit2(&state_->stream, 5, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw Error(ExitCode::internal, "zlib can't be started: no memory");
}

DeflateFile::~DeflateFile() { deflateEnd(&state_->stream); }

void DeflateFile::write(const void* bytes, size_t size) {
  const auto* from = static_cast<const unsigned char*>(bytes);
  while (size > 0) {
    const size_t count = std::min<size_t>(size, 1 << 30);  // zlib counts in 32 bits
    state_->stream.next_in = const_cast<unsigned char*>(from);
    state_->stream.avail_in = static_cast<uInt>(count);
    state_->run(Z_NO_FLUSH);
    from += count;
    size -= count;
  }
}

size_t DeflateFile::finish() {
  state_->run(Z_FINISH);
  return state_->num_out;
}

}  // namespace vmae::io
