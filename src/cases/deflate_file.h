#pragma once
// Compresses on the way into a file. The same bytes in give the same bytes out: no time and no name are stored.
#include <cstddef>
#include <memory>

#include "vmae/core/atomic_file.h"

namespace vmae::io {

class DeflateFile {
 public:
  enum class Wrapper { gzip, zlib };
  DeflateFile(AtomicFile& file, Wrapper wrapper);
  ~DeflateFile();
  void write(const void* bytes, size_t size);
  size_t finish();  // once, at the end; the number of bytes that came out

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vmae::io
