#include "vmae/tasks/architecture.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <vector>

#include "vmae/core/text.h"
#include "vmae/predict/model_file.h"
#include "vmae/tasks/folds.h"
#include "vmae/weights/transfer.h"
#include "vmae/weights/unwrap.h"

namespace vmae::run {

namespace fs = std::filesystem;

void adopt_architecture(nn::SwinOptions& swin, const std::string& init) {
  const auto path = find_weights(init);
  weights::TensorFile file = weights::read_wrapped_weights(path, /*shapes_only=*/true);
  weights::unwrap(file, path);  // what was removed is said where the weights are loaded
  const bool is_imagenet = weights::is_imagenet_swin(weights::rename_to_reference(file));
  const nn::SwinOptions theirs = swin_options_of(file, path, is_imagenet);
  if (swin.image_size.empty() && file.metadata.contains("model_options")) swin.image_size = theirs.image_size;
  swin.in_channels = theirs.in_channels;
  swin.embed_dim = theirs.embed_dim;
  swin.num_heads = theirs.num_heads;
  swin.window_size = theirs.window_size;
  swin.mlp_ratio = theirs.mlp_ratio;
  swin.layer_norm_eps = theirs.layer_norm_eps;
  swin.shift_small_grids = theirs.shift_small_grids;
}

std::string adopted_weights(const std::string& run_dir, const std::string& init, const std::string& fold,
                            bool resumes) {
  if (!resumes) return init;
  std::vector<fs::path> own;
  if (const std::optional<int64_t> number = parse_integer(fold)) {
    own = {fold_folder(run_dir, *number)};
  } else if (fold == "all") {
    for (int64_t k = 0; fs::exists(fold_folder(run_dir, k)); ++k) own.push_back(fold_folder(run_dir, k));
  } else {
    own = {run_dir};
  }
  const auto begun = std::find_if(own.begin(), own.end(), has_checkpoint);
  return begun == own.end() ? init : begun->string();
}

}  // namespace vmae::run
