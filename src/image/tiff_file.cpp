#include "tiff_file.h"

#include <fcntl.h>
#include <tiffio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "vmae/core/text.h"
#include "vmae/image/picture_decode.h"

namespace vmae::io {
namespace {

// A file in memory, and what libtiff last said of it.
struct Memory {
  std::string_view bytes;
  std::string* written = nullptr;  // when writing
  uint64_t at = 0;
  std::string problem;
};

tmsize_t read_memory(thandle_t handle, void* to, tmsize_t size) {
  auto& memory = *static_cast<Memory*>(handle);
  if (size <= 0 || memory.at >= memory.bytes.size()) return 0;
  const auto count = std::min<uint64_t>(static_cast<uint64_t>(size), memory.bytes.size() - memory.at);
  std::memcpy(to, memory.bytes.data() + memory.at, count);
  memory.at += count;
  return static_cast<tmsize_t>(count);
}

tmsize_t write_memory(thandle_t handle, void* from, tmsize_t size) {
  auto& memory = *static_cast<Memory*>(handle);
  if (memory.written == nullptr || size < 0) return 0;
  try {
    const size_t end = memory.at + static_cast<size_t>(size);
    if (memory.written->size() < end) memory.written->resize(end);
  } catch (const std::exception&) {  // must not pass through libtiff
    return 0;
  }
  std::memcpy(memory.written->data() + memory.at, from, static_cast<size_t>(size));
  memory.at += static_cast<uint64_t>(size);
  memory.bytes = *memory.written;
  return size;
}

toff_t seek_memory(thandle_t handle, toff_t offset, int whence) {
  auto& memory = *static_cast<Memory*>(handle);
  uint64_t from = memory.bytes.size();
  if (whence == SEEK_SET) from = 0;
  if (whence == SEEK_CUR) from = memory.at;
  memory.at = from + offset;
  return memory.at;
}

int close_memory(thandle_t) { return 0; }
toff_t size_of_memory(thandle_t handle) { return static_cast<Memory*>(handle)->bytes.size(); }
int map_memory(thandle_t handle, void** base, toff_t* size) {
  auto& memory = *static_cast<Memory*>(handle);
  *base = const_cast<char*>(memory.bytes.data());  // libtiff does not write where it reads
  *size = memory.bytes.size();
  return 1;
}
void unmap_memory(thandle_t, void*, toff_t) {}

int keep_problem(TIFF*, void* memory, const char*, const char* format, va_list arguments) {
  std::array<char, 300> text{};
  std::vsnprintf(text.data(), text.size(), format, arguments);
  try {
    static_cast<Memory*>(memory)->problem = text.data();
  } catch (const std::exception&) {  // no memory for the text: libtiff says by itself that it failed
    return 1;
  }
  return 1;  // 1: nobody else need be told
}
int keep_quiet(TIFF*, void*, const char*, const char*, va_list) { return 1; }

using OpenOptions = std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)>;
OpenOptions options_for(Memory& memory) {
  OpenOptions options(TIFFOpenOptionsAlloc(), TIFFOpenOptionsFree);
  if (!options) throw std::bad_alloc();
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), keep_problem, &memory);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), keep_quiet, nullptr);
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), kMaxTiffChunk);
  return options;
}

TIFF* open_memory(Memory& memory, const char* mode) {
  const OpenOptions options = options_for(memory);
  return TIFFClientOpenExt("TIFF", mode, &memory, read_memory, write_memory, seek_memory, close_memory, size_of_memory,
                           map_memory, unmap_memory, options.get());
}

}  // namespace

struct TiffFile::State {
  Memory memory;
  TIFF* tiff = nullptr;

  ~State() {
    if (tiff != nullptr) TIFFClose(tiff);
  }
};

TiffFile::TiffFile(std::unique_ptr<State> state) : state_(std::move(state)) {
  if (state_->tiff == nullptr) fail();
}
TiffFile::TiffFile(TiffFile&& other) noexcept = default;
TiffFile::~TiffFile() = default;

TiffFile TiffFile::of_bytes(std::string_view bytes) {
  auto state = std::make_unique<State>();
  state->memory.bytes = bytes;
  state->tiff = open_memory(state->memory, "r");
  return TiffFile(std::move(state));
}

TiffFile TiffFile::of_path(const std::string& path) {
  auto state = std::make_unique<State>();
  const OpenOptions options = options_for(state->memory);
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail_picture(concat("can't be read: ", std::strerror(errno)));
  state->tiff = TIFFFdOpenExt(file, "TIFF", "rm", options.get());
  if (state->tiff == nullptr) close(file);
  return TiffFile(std::move(state));
}

TiffFile TiffFile::to_write(std::string& bytes, bool is_big) {
  auto state = std::make_unique<State>();
  state->memory.written = &bytes;
  state->tiff = open_memory(state->memory, is_big ? "w8" : "w");
  return TiffFile(std::move(state));
}

TIFF* TiffFile::get() const { return state_->tiff; }

const std::string& TiffFile::problem() const { return state_->memory.problem; }

void TiffFile::forget_problem() { state_->memory.problem.clear(); }

void TiffFile::fail() const {
  fail_picture(concat("can't be decoded: it is damaged, or of an unknown kind",
                      problem().empty() ? "" : " (" + problem() + ")"));
}

bool TiffPage::is_copy() const {
  return (subfile & (FILETYPE_REDUCEDIMAGE | FILETYPE_MASK)) != 0 || old_subfile == OFILETYPE_REDUCEDIMAGE;
}

TiffPage page_of(const TiffFile& file) {
  TIFF* const tiff = file.get();
  TiffPage page;
  TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &page.width);
  TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &page.height);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SUBFILETYPE, &page.subfile);
  TIFFGetField(tiff, TIFFTAG_OSUBFILETYPE, &page.old_subfile);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &page.samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &page.bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &page.format);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &page.planar);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &page.compression);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &page.orientation);
  if (page.format == SAMPLEFORMAT_VOID) page.format = SAMPLEFORMAT_UINT;
  uint16_t* kinds = nullptr;
  if (TIFFGetFieldDefaulted(tiff, TIFFTAG_EXTRASAMPLES, &page.num_extra, &kinds) == 0) page.num_extra = 0;
  for (uint16_t i = 0; i < page.num_extra; ++i)
    page.has_alpha |= kinds[i] == EXTRASAMPLE_ASSOCALPHA || kinds[i] == EXTRASAMPLE_UNASSALPHA;
  const uint64_t* below = nullptr;
  if (TIFFGetField(tiff, TIFFTAG_SUBIFD, &page.num_below, &below) == 0) page.num_below = 0;
  if (TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &page.photometric) == 0)
    page.photometric =
        page.samples >= 3 && page.samples != page.num_extra + 1 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
  return page;
}

std::string description_of(const TiffFile& file) {
  char* text = nullptr;
  return TIFFGetField(file.get(), TIFFTAG_IMAGEDESCRIPTION, &text) != 0 && text != nullptr ? text : "";
}

}  // namespace vmae::io
