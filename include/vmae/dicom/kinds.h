#pragma once
// What a file is, told by its first bytes and by its SOP class.
#include <filesystem>

namespace vmae::io {

// By content: "DICM" after a preamble of 128 bytes, or a data set
// that begins with a DICOM group. False if the file can't be read.
bool is_dicom(const std::filesystem::path& path);

// By SOP class: a list says which classes are images (PS3.4 B.5; a file without one is taken for an
// image). other: all else, whether it has pixels or not: reports, presentation states, parametric maps,
// private classes, waveforms, directories (DICOMDIR), ... seg: segmentations and label map segmentations.
enum class DicomKind { image, rtstruct, seg, other };

}  // namespace vmae::io
