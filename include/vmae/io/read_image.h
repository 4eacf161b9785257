#pragma once
// Any kind of image file as a Volume: what a SourceFile says is read as a picture, a volume (one time point) or a DICOM series.
#include <cstdint>
#include <optional>
#include <vector>

#include "vmae/io/image.h"
#include "vmae/io/source.h"

namespace vmae::io {

// A picture is a volume of size z = 1 with 1 or 3 channels. Every failure is Error(data) naming the file.
Volume read_image(const SourceFile& file);

// The label map on the grid of `image`, which was read from `file`: size x * y * z, 0 background. Throws Error(data) if it has another grid or values outside
// 0...255.
std::vector<std::uint8_t> read_mask(const SourceFile& file, const Volume& image);

// Geometry from the header alone; empty for a picture, which is one slice. Throws Error(data) naming the file.
std::optional<VolumeHeader> read_image_header(const SourceFile& file);

}  // namespace vmae::io
