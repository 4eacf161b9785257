#pragma once
// Names and files of what was predicted.
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"
#include "vmae/data/case.h"
#include "vmae/predict/model_file.h"

namespace vmae::run {

// `classes` (size of the volume, x fastest), as the card's label_values but for DICOM, whose
// segments are numbered, beside `stem`, in the format of the case: .nii.gz, .nii, .nrrd, .mha,
// .png, or .dcm (DICOM Segmentation). Prepared cases: .nii.gz, pictures .png. Returns the file.
std::filesystem::path write_labels(const std::filesystem::path& stem, const io::SourceFile& file, const data::Case& one,
                                   std::span<const uint8_t> classes, const ModelCard& card);

// One class's probabilities: .nii.gz for volumes and series,
// for pictures an 8-bit .png with 255 for 1. Returns the file.
std::filesystem::path write_probabilities(const std::filesystem::path& stem, const io::SourceFile& file,
                                          const data::Case& one, std::span<const float> values);

// Classes in colour over the image, to be looked at, with a legend: a picture in its
// own size (up to 1024 pixels), of a volume a sheet of up to 12 slices, of those
// with foreground where there are any. A PNG beside `stem`, which is returned.
std::filesystem::path write_overlay(const std::filesystem::path& stem, const data::Case& one,
                                    std::span<const uint8_t> classes, const ModelCard& card);

// Class names as parts of file names: of ASCII, letters, digits and -
// are kept; with their numbers in front where two would be the same.
std::vector<std::string> class_file_names(const std::vector<std::string>& classes);
// The same of what a model has probabilities of: its classes, or regions.
std::vector<std::string> probability_file_names(const ModelCard& card);

}  // namespace vmae::run
