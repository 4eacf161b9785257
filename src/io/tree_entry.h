#pragma once
// A file of a tree that nothing describes, taken apart once; and what its words say.
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "vmae/io/source.h"

namespace vmae::io {

struct TreeEntry {
  SourceFile* file;
  std::vector<std::string> folders;  // as written
  std::string folder, stem;          // the folders joined; in lower case
  bool is_mask = false;
  bool is_mask_by_values = false;    // its name does not say so
  std::string base{};                // of a mask: its name without what makes it one; "": nothing is left
  std::string unit{};                // the folder, or common beginning, of its patient; "": not known
  std::vector<TreeEntry*> images{};  // of a mask
  std::string doubt{};               // why a mask has no image
};

bool names_modality(const std::string& word);  // in lower case: "t1", "flair", "ct", ...
bool has_digit(const std::string& name);

// x, y, z of an image; of a picture, which is read for it, too. Nothing where it can't be read: reading it as an image will say so.
std::optional<std::array<int64_t, 3>> size_of(const SourceFile& file);

}  // namespace vmae::io
