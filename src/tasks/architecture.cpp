#include "vmae/tasks/architecture.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <vector>

#include "vmae/core/text.h"
#include "vmae/predict/find_weights.h"
#include "vmae/predict/model_file.h"
#include "vmae/tasks/folds.h"
#include "vmae/weights/transfer.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

void adopt_swin(nn::SwinOptions& swin, const std::string& init) {
  const auto path = find_weights(init);
  weights::TensorFile file = weights::read_shapes(path);
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

void adopt_transunet(nn::UnetOptions& net, const std::string& init) {
  const auto path = find_weights(init);
  const weights::TensorFile file = weights::read_shapes(path);
  if (!file.metadata.contains("model_options") || model_name_of(file) != "transunet") return;  // shapes say too little
  const nn::UnetOptions theirs = unet_options_of(file, path, /*is_imagenet=*/false);
  const double dropout = net.transunet.dropout;
  net.transunet = theirs.transunet;
  net.transunet.dropout = dropout;
  net.swin.in_channels = theirs.swin.in_channels;
}

}  // namespace

void adopt_architecture(SegmentModelOptions& model, const std::string& init) {
  const nn::SegmenterKind* kind = nn::find_segmenter(model.name);
  if (kind == nullptr) return;  // told where the config is read
  if (kind->is_swin) adopt_swin(model.net.swin, init);
  if (kind->name == "transunet") adopt_transunet(model.net, init);
}

void adopt_architecture(ClassifyModelOptions& model, const std::string& init) { adopt_swin(model.net.swin, init); }

std::string adopted_weights(const std::string& run_dir, const std::string& init, const std::string& fold,
                            const Launch& launch, train::IfExists wanted) {
  std::vector<fs::path> own;
  if (const std::optional<int64_t> number = parse_integer(fold)) {
    own = {fold_folder(run_dir, *number)};
  } else if (fold == "all") {
    for (int64_t k = 0; fs::exists(fold_folder(run_dir, k)); ++k) own.push_back(fold_folder(run_dir, k));
  } else {
    own = {run_dir};
  }
  const auto begun = std::find_if(own.begin(), own.end(), [&](const fs::path& folder) {
    return train::after_restart(folder, launch, wanted) == train::IfExists::resume && has_checkpoint(folder);
  });
  return begun == own.end() ? init : begun->string();
}

}  // namespace vmae::run
