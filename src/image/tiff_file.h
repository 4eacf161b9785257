#pragma once
// A TIFF that libtiff has open, in memory or as a file, and what it says of one directory.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct tiff;  // libtiff's TIFF, which sources alone see

namespace vmae::io {

constexpr int64_t kMaxTiffChunk = int64_t{1} << 30;  // bytes of a strip or tile

class TiffFile {
 public:
  // Throw Error(data) where it can't be opened.
  static TiffFile of_bytes(std::string_view bytes);           // which must outlive it
  static TiffFile of_path(const std::string& path);           // reads no more of the file than it must
  static TiffFile to_write(std::string& bytes, bool is_big);  // all is written when it is gone. is_big: BigTIFF
  TiffFile(TiffFile&& other) noexcept;
  ~TiffFile();

  tiff* get() const;
  const std::string& problem() const;  // what libtiff last said of it, or ""
  void forget_problem();
  [[noreturn]] void fail() const;  // Error(data): damaged

 private:
  struct State;
  explicit TiffFile(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// One directory: values of its tags (TIFF 6.0), or what they are where they are not there.
struct TiffPage {
  uint32_t width = 0, height = 0, subfile = 0;
  uint16_t samples = 1, bits = 1, format = 1, photometric = 0, planar = 1, compression = 1, orientation = 1,
           old_subfile = 0;
  uint16_t num_extra = 0;
  uint16_t num_below = 0;  // SubIFDs
  bool has_alpha = false;  // an extra sample is named so

  bool is_copy() const;  // smaller, or a mask, of another page
  bool is_turned() const { return orientation >= 5 && orientation <= 8; }
};

// Of the directory that the file is at.
TiffPage page_of(const TiffFile& file);
std::string description_of(const TiffFile& file);

}  // namespace vmae::io
