#pragma once
// Label maps from files of every kind.
#include <filesystem>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"
#include "vmae/volume/label_map.h"

namespace vmae::io {

// NIfTI, NRRD, MetaImage (also a channel per class, as read_mask says), pictures, DICOM-SEG. Numbers are those of
// the file (label_meaning.h). SEG: its own frames make the grid. Where they have places: x and y of the frames, z
// along their normal, all frames of one segment or another; slices between them that have no frame are background,
// those before and behind are not in the grid, as the file does not say that they exist (see onto_common_grid).
// The step along z is SpacingBetweenSlices where it fits, else the smallest between frames; of a single slice
// SpacingBetweenSlices, else SliceThickness. Without places (radiographs): z counts the images that the file
// refers to, has_millimetres is false. Labels as in read_dicom_mask: later segments win. Throws Error(data) naming
// the file: not a label map (values that are no integers in [0, 255], colour, several volumes, RTSTRUCT and other
// DICOM), frames of a SEG that do not lie on one regular grid (uneven slices, a tilted gantry).
LabelMap read_label_map(const std::filesystem::path& file);

// The mask of an image by itself: that of its time point.
LabelMap read_label_map(const SourceFile& image);

}  // namespace vmae::io
