#pragma once
// One NIfTI, NRRD or MetaImage file, open: what images (volume.h) and masks (mask_volume.h) are read from.
#include <filesystem>
#include <memory>

#include "vmae/image/image.h"

namespace vmae::io {

class VolumeFile {
 public:
  // Reads and checks the header. Throws Error(data) naming the file.
  explicit VolumeFile(const std::filesystem::path& path);
  ~VolumeFile();
  VolumeFile(VolumeFile&&) noexcept;

  const VolumeHeader& header() const;
  int64_t values_per_voxel() const;  // more than 1: vectors, colour, complex numbers
  int64_t num_axes() const;          // as the file has them: 2 where it knows no depth

  // With values_per_voxel() channels. In rising order of the time points
  // each costs what it is long. Throws Error(data) naming the file.
  Volume read(int64_t time_point);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace vmae::io
