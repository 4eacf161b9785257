#pragma once
// What masks say about their own numbers: the structures that DICOM and 3D Slicer name, the
// colours of a palette, channels with or without one of background. In a dataset all masks
// must say the same, or a number would mean one thing in one case and another in the next.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"

namespace vmae::io {

// What the mask of a file calls its values: 1, 2, ... of a DICOM mask's structures, LabelValue of 3D
// Slicer's segments. Empty where its values have no names. Throws Error(data) where a mask can't be read.
std::map<int64_t, std::string> value_names(const SourceFile& file);

// The names of value_names(), in the order of the values.
std::vector<std::string> structure_names(const SourceFile& file);

// What all masks together call their values 1, 2, ...; a value between others that has no name is called
// by its number. Masks that name nothing hold the same numbers. Empty where no mask names any, or where
// values are so far apart that they are no numbering. own_names: what the dataset calls the values 1, 2,
// ...; empty: it does not say. Masks that can't be read are left out here. Throws Error(data) naming two
// masks, or a mask and the dataset, where a structure has two values or a value two names.
std::vector<std::string> structure_names(const std::vector<SourceFile>& files,
                                         const std::vector<std::string>& own_names = {});

// Throws Error(data) naming two masks whose numbers can't mean the same, whatever they are called: a
// colour has one index in the palette of one and another in that of the other (palettes that differ
// in their colours only are warned of); or the first channel is the background in one, and the other
// has no such channel (MaskForm one_hot and channels). classes: names of all classes, where they are
// known: as many channels as classes, with every voxel in one of them, can be read in two ways.
void check_numbering(const std::vector<SourceFile>& files, const std::vector<std::string>& classes = {});

}  // namespace vmae::io
