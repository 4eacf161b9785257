#pragma once
// Label maps and probability maps, back in the format that their image came in. Files
// appear whole or not at all (vmae/core/atomic_file.h). For DICOM: dicom/seg_write.h.
#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

#include "vmae/cases/source_file.h"
#include "vmae/image/image.h"

namespace vmae::io {

// One value per voxel of `image`, which was read from `file`: x fastest, channels do not count. The ending
// of `output` (any case) decides: .nii, .nii.gz, .nrrd, .mha; the last two and .nii.gz are compressed. NIfTI
// from a NIfTI-1 file (either byte order): sizes, voxel sizes, qform, sform, their codes and the units are
// the file's, bit for bit, so the affine is the image's in every reader, also where it is sheared; one time
// point, little endian, no extensions, and no texts of the file, which may name a patient. All else: the
// geometry of `image`. Throws Error(internal) if the disk is full or `values` is not of the image's size,
// Error(data) for a size that NIfTI-1 can't say (above 32767), Error(usage) for another ending.
void write_label_volume(const std::filesystem::path& output, const SourceFile& file, const Volume& image,
                        std::span<const uint8_t> labels);
void write_float_volume(const std::filesystem::path& output, const SourceFile& file, const Volume& image,
                        std::span<const float> values);

// A TIFF of one page for each z, compressed (Deflate); where spacing_mm is known,
// in the words of ImageJ. Throws Error(internal): not of that size, disk full.
void write_label_stack(const std::filesystem::path& output, const std::array<int64_t, 3>& size,
                       const std::optional<std::array<double, 3>>& spacing_mm, std::span<const uint8_t> labels);
void write_float_stack(const std::filesystem::path& output, const std::array<int64_t, 3>& size,
                       const std::optional<std::array<double, 3>>& spacing_mm, std::span<const float> values);

// 8-bit grey, label values as they are; height * width of them, row by row. Throws Error(internal).
void write_label_png(const std::filesystem::path& output, int64_t height, int64_t width,
                     std::span<const uint8_t> labels);

}  // namespace vmae::io
