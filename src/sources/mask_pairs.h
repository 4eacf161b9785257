#pragma once
// Which mask belongs to which image: one to one, or an error that names both files.
#include <filesystem>
#include <map>
#include <vector>

#include "vmae/sources/source.h"

namespace vmae::io {

struct MaskPairs {
  std::map<std::filesystem::path, std::filesystem::path> mask_of;  // by image
  std::vector<std::filesystem::path> without_image;                // masks
};

// By the path below the folder without its ending. Where several images or masks have the
// same, equal file names decide if that leaves none over; else Error(data) names them.
MaskPairs pair_by_name(const std::vector<std::filesystem::path>& images, const std::filesystem::path& image_folder,
                       const std::vector<std::filesystem::path>& masks, const std::filesystem::path& mask_folder);

// Throws Error(data) where two images of a source have the same name, two that are not
// of one patient or case (channels) have the same mask, or a mask is an image too.
void check_one_to_one(const Source& source);

}  // namespace vmae::io
