#pragma once
// One label volume out of a NIfTI, NRRD or MetaImage file, whatever it holds:
// label numbers, a volume per time point, a channel per class, layers of segments.
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"
#include "vmae/image/image.h"

namespace vmae::io {

enum class MaskForm : uint8_t {
  labels,       // one volume of numbers
  time_points,  // the volume of the image's time point
  // every voxel is 1 (or 255) in one channel and 0 in the others: channel k is label k, channel 0 the background
  one_hot,
  channels,  // likewise in one channel at most, and some voxel in none: channel k is label k + 1
  layers,    // of 3D Slicer's .seg.nrrd, whose segments have numbers of their own and don't overlap
};

struct MaskVolume {
  Volume volume;  // one value per voxel
  MaskForm form = MaskForm::labels;
};

// Channels are the volumes of a 4-D file, or the values of a voxel (vectors). Which it is:
//   one volume: it holds for all time points of the image; with several values per voxel they are channels or
//   layers; as many volumes as the image has time points, if that has several: one for each, unless the
//   volumes are one-hot, which holds for all time points then; several volumes for an image of one: channels.
// What a file that is no plain label map was taken for is said once in the log. Throws Error(data)
// naming the mask: other numbers of volumes; channels that overlap or hold other values than 0 and
// 1 (or 255); layers that overlap or number their segments alike; what VolumeFile throws.
MaskVolume read_mask_volume(const std::filesystem::path& mask, const SourceFile& image);

// Without an image, as beside one of one time point.
MaskVolume read_mask_volume(const std::filesystem::path& mask);

// What the header of 3D Slicer's NRRD calls its values (1 to 255); empty
// where segments have no names, or share values, and of other files.
std::map<int64_t, std::string> segment_names(const std::filesystem::path& mask);

}  // namespace vmae::io
