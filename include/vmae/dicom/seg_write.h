#pragma once
// Label maps of DICOM images as DICOM Segmentation objects (PS3.3 A.51): BINARY, one segment per class.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vmae/image/image.h"

namespace vmae::io {

struct DicomSegDescription {
  // of labels 1, 2, ...; all become segments of these numbers, also those without a voxel. UTF-8, cut at 64 characters
  std::vector<std::string> class_names;
  // also model and software version of the equipment; the manufacturer is "vmae"
  std::string algorithm_name, algorithm_version;
  std::string series_description;
};

// `labels`: one per voxel of `image`, x fastest; `image` is read_dicom(series_files), `series_files` in the same
// order: one file per slice, or one multi-frame file, of which `volume` is meant where it holds several
// (read_dicom). Grey and colour alike. Frames: for each segment the slices where it has voxels, in the order of
// z, each naming the image (and frame) that it was made from, and its place where slices have places of their own
// (not radiographs, ultrasound, photographs). An object must have a frame: when all is background, it is an empty
// one of segment 1 in the first slice. Patient, study and frame of reference are those of the first file, as the
// standard asks, and stand nowhere else. Of their values, those that break the rules of DICOM are left empty, as
// archives refuse objects for them (an age without unit, an id of the study that is too long); patient's name and
// id and the study's UID are kept whatever they are. A source without study gets one that depends on its series,
// one with places but without frame of reference as well. UIDs are made from the images' UIDs, the labels and the
// description: the same prediction gives the same file, but for date and time. Whole or not at all. Throws
// Error(data) naming a file: images without UIDs, or with the same one and no place, or more segments and voxels
// than a file can hold; Error(internal): the disk is full, or the arguments don't fit each other.
void write_dicom_seg(const std::filesystem::path& output, std::span<const std::filesystem::path> series_files,
                     const Volume& image, std::span<const uint8_t> labels, const DicomSegDescription& description,
                     std::optional<int64_t> volume = {});

}  // namespace vmae::io
