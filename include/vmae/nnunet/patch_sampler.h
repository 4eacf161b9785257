#pragma once
// Which patches of which slices nnU-Net trains its 2D configuration with: its nnUNetDataLoader.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "vmae/core/random.h"
#include "vmae/nnunet/preprocessed_file.h"

namespace vmae::nnunet {

// The last ones of a batch are drawn around foreground: all but round(batch_size * (1 - share)), as Python rounds.
bool wants_foreground(int64_t place_in_batch, int64_t batch_size, double share = 0.33);

// Where along one axis a patch may begin that is drawn anywhere; both belong to it.
struct BeginRange {
  int64_t first = 0, last = 0;
};
// `patch` is cut out of the middle of `initial` >= patch, so that it may lie anywhere within the image and no further;
// what is too small for `initial` is padded on both sides.
BeginRange begin_range(int64_t size, int64_t patch, int64_t initial);
// Where one begins whose middle is `voxel`. It may reach further beyond the image's end than those drawn anywhere.
int64_t begin_around(int64_t voxel, int64_t size, int64_t patch, int64_t initial);

struct PatchDraw {
  size_t number = 0;  // of the case
  int64_t slice = 0;
  std::array<int64_t, 2> begin{};  // row and column of the initial patch; may be negative
};

// Each case is as likely as any other. With around_foreground: a class of those that the case has, then one of its
// voxels. Else, and where there is no such voxel: any slice, any place; with has_ignore around an annotated voxel.
PatchDraw draw_patch(const std::vector<std::shared_ptr<const PreprocessedFile>>& cases,
                     const std::array<int64_t, 2>& patch, const std::array<int64_t, 2>& initial, bool around_foreground,
                     bool has_ignore, Random& random);

// image: channels x rows x columns, labels: rows x columns; 0 and -1 beyond the slice.
void cut_patch(const PreprocessedFile& from, const PatchDraw& draw, const std::array<int64_t, 2>& initial, float* image,
               int16_t* labels);

}  // namespace vmae::nnunet
