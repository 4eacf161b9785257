#pragma once
// Patches of nnU-Net's preprocessed cases: which, and how they are changed, is drawn as nnU-Net draws it.
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "vmae/data/dataset.h"
#include "vmae/nnunet/preprocessed_file.h"

namespace vmae::data {

struct PatchCase {
  std::string name;
  std::shared_ptr<const nnunet::PreprocessedFile> file;
};

struct PatchOptions {
  std::array<int64_t, 2> size{};  // rows, columns: the plan's patch_size
  std::vector<bool> use_mask;     // per channel, the plan's use_mask_for_norm
  bool is_augmented = false, has_ignore = false;
  int64_t batch_size = 0;  // the last third of a batch has foreground
};

// A dataset that draws its samples itself (LoaderOptions::is_drawn): images as preprocessed; masks of classes, or of
// nnunet::kIgnoredLabel where nothing is known. Of `image` size and channels are those of patches and cases.
std::shared_ptr<Dataset> patch_dataset(const std::vector<PatchCase>& cases, PatchOptions options, ImageOptions image,
                                       std::shared_ptr<Quarantine> quarantine);

}  // namespace vmae::data
