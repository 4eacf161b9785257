#include "tree_entry.h"

#include <set>

#include "vmae/core/error.h"
#include "vmae/io/read_image.h"

namespace vmae::io {

bool names_modality(const std::string& word) {
  static const std::set<std::string> kModalities{"t1",  "t1c", "t1ce", "t1gd", "t1w", "t1n",  "t1post", "t2", "t2w", "t2f", "flair", "adc", "dwi", "swi",
                                                 "dce", "pd",  "pdw",  "ct",   "cta", "cect", "ncct",   "mr", "mri", "mra", "pet",   "suv", "us"};
  return kModalities.contains(word);
}

bool has_digit(const std::string& name) { return name.find_first_of("0123456789") != std::string::npos; }

std::optional<std::array<int64_t, 3>> size_of(const SourceFile& file) {
  try {
    const auto header = read_image_header(file);
    return header ? header->size : read_image(file).size;
  } catch (const Error&) {  // reading it will say so
    return std::nullopt;
  }
}

}  // namespace vmae::io
