#pragma once
// One case of a source, whatever it is: picture, volume or DICOM series.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "vmae/cases/source_file.h"
#include "vmae/image/image.h"

namespace vmae::io {

// A picture becomes a volume of size z = 1 (a TIFF of several pages: z of them) with 1 or 3
// channels. `modality` of the file is the source's where that says one; a CT volume without
// units is in HU. Throws Error(data) naming the file. Of a case of several channels the first.
Volume read_image(const SourceFile& file);

// All channels of a case, each a volume of one value per voxel on the grid of the first. Throws
// Error(data) naming the channel's file: colour, another size, another place (as for masks).
std::vector<Volume> read_channels(const SourceFile& file);

// `path`, and what is read with it: the voxels of an .mhd or
// .nhdr, the spacing beside a TIFF stack. Files that are there.
std::vector<std::filesystem::path> files_read_with(const std::filesystem::path& path);

// Geometry from the header alone; empty for a picture, which is one slice (a TIFF of several pages is a volume). Of a
// case of several channels that of the first. Throws Error(data) naming the file, also of a channel of another size.
std::optional<VolumeHeader> read_image_header(const SourceFile& file);

// The label map on the image's grid, x fastest; empty if the file has no mask. Numbers are those of the file;
// what they mean is for the whole dataset to say (label_meaning.h). `structures`: of masks that name their
// values (mask_numbering.h), the structures that become 1, 2, ..., the others are background; empty: as the file
// has them. Throws Error(data) naming image and mask: another size, or another place (spacing more than 1 %,
// origin more than a tenth of a voxel, axes more than 2.5 degrees off), values that are no integers in [0, 255].
std::vector<uint8_t> read_mask(const SourceFile& file, const Volume& image,
                               const std::vector<std::string>& structures = {});

}  // namespace vmae::io
