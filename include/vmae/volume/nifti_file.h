#pragma once
// NIfTI-1 and NIfTI-2 in one file (.nii, .nii.gz, either byte order), read with zlib and by the formats'
// descriptions. Not through ITK 5.2: it takes a file that is cut off for a whole one, turns NaN into 0,
// leaves the slope out where a file has no orientation, and holds matrices against absolute tolerances.
#include <array>
#include <filesystem>

#include "vmae/image/image.h"

namespace vmae::io {

// The fields that are used, by the names of nifti1.h, as stored.
struct NiftiFields {
  std::array<int64_t, 8> dim{};  // [0]: how many axes there are, 1 to 7; sizes below 1 are 1, but dim[1]
  std::array<double, 8> pixdim{};
  std::array<double, 3> quatern{}, qoffset{};
  std::array<double, 12> srow{};  // three rows of four
  double vox_offset = 0, scl_slope = 0, scl_inter = 0;
  int64_t datatype = 0, intent_code = 0, qform_code = 0, sform_code = 0, xyzt_units = 0;
};

// Throws Error(data) naming the file for whatever is no such file (a
// pair of .hdr and .img is refused by name), is cut off or damaged.
class NiftiFile {
 public:
  explicit NiftiFile(const std::filesystem::path& path);
  ~NiftiFile();
  NiftiFile(const NiftiFile&) = delete;
  NiftiFile& operator=(const NiftiFile&) = delete;

  const NiftiFields& fields() const { return fields_; }

  // Fills type, stored and scaling of a volume whose size is set, from number `index` of the volumes that lie one
  // after the other. Reading on is cheap, going back is not. With `is_last` the checksum of a .gz is verified, and
  // nothing can be read any more; whole volumes behind the last one are refused, other bytes are said in the log.
  void read(int64_t index, bool is_last, Volume& volume);

 private:
  void read_bytes(char* to, size_t size);
  void skip_to(int64_t offset);
  void check_end(int64_t volume_bytes);
  template <class Stored, class Kept = Stored>
  void read_as(StoredType type, Volume& volume);

  std::filesystem::path path_;
  void* file_;               // zlib's, whose header stays in the .cpp
  bool is_swapped_ = false;  // not this machine's byte order
  NiftiFields fields_;
};

// Bytes of one value of a NIfTI data type. Throws Error(data) for what
// is no type of one number (colour, complex numbers) or not supported.
size_t nifti_type_bytes(int64_t datatype, const std::filesystem::path& path);

}  // namespace vmae::io
