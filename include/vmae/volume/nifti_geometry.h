#pragma once
// Where the voxels of a NIfTI file lie.
#include <array>
#include <filesystem>
#include <string>

#include "vmae/volume/nifti_file.h"

namespace vmae::io {

struct NiftiGrid {
  std::array<int64_t, 3> size{};
  std::array<double, 3> spacing_mm{1, 1, 1}, origin_mm{0, 0, 0};  // as in Volume
  std::array<double, 9> direction{1, 0, 0, 0, 1, 0, 0, 0, 1};
  int64_t num_volumes = 1;       // of a 4-D file; further axes likewise
  int64_t values_per_voxel = 1;  // of vectors (intent_code), which lie behind all volumes of the value before
};

// Voxel sizes are pixdim (0 counts as 1, the sign means nothing), in the file's units. Orientation and origin:
//   neither form has a code: the axes are ITK's, the origin is 0; one has: that one;
//   both have: the sform if its code is 1 (scanner) and it says no more than a qform
//   can (right angles to 1e-4, voxel sizes of pixdim to 1e-3 mm); else the qform.
// So does ITK 5.2, by which SimpleITK and nnU-Net read; where the sform has another code, it takes whichever
// of two equal forms. An sform alone may be off by more: voxel sizes by 1 %; angles by 2e-3 (0.1 degrees),
// the nearest axes with right angles are then taken. Beyond that: Error(data). Axes of files with fewer than
// three: as ITK where they lie in the plane of the first axes of the patient, else as of 3-D files.
NiftiGrid nifti_grid(const NiftiFields& fields, const std::filesystem::path& path);

// "the qform and the sform of NAME lie up to 3.2 voxels apart; its qform is used", where both
// have a code and a voxel of the volume lies more than a tenth of a voxel elsewhere in one than
// in the other; else, and of files that are no NIfTI, "". Throws Error(data) as NiftiFile.
std::string nifti_conflict(const std::filesystem::path& path, const std::string& name);

}  // namespace vmae::io
