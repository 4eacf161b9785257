#pragma once
// What `vmae predict` and `vmae features` read alike: cases, what they are called, and their modality.
#include <optional>
#include <string>
#include <vector>

#include "vmae/core/error.h"
#include "vmae/data/case.h"
#include "vmae/io/source.h"

namespace vmae::run {

// Names of `cases` that are unique among all files, and the same whichever of them are predicted together.
std::vector<std::string> names_beside(const std::vector<io::SourceFile>& cases, const std::vector<io::SourceFile>& beside,
                                      const std::vector<std::string>& identifying);

// Intensities are scaled by modality. Where images do not say theirs, and all that the model learnt from had one, it is that; another one is warned of.
void take_modality(std::vector<io::SourceFile>& cases, const std::string& trained);

struct LoadedCase {
  data::Case one;
  std::optional<Error> problem;
};
LoadedCase load_case(const io::SourceFile& file, const data::ImageOptions& image);  // throws nothing

}  // namespace vmae::run
