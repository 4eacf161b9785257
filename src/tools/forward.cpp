#include "vmae/tools/forward.h"

#include "vmae/core/config.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/core/random.h"
#include "vmae/core/version.h"
#include "vmae/data/draws.h"
#include "vmae/predict/find_weights.h"
#include "vmae/predict/model_file.h"
#include "vmae/train/device.h"
#include "vmae/weights/transfer.h"
#include "vmae/weights/transunet.h"
#include "vmae/weights/weights.h"

namespace vmae::run {

namespace fs = std::filesystem;

static constexpr const char* kInput = "give `image` (B, C, H, W) float32 and, optionally, `noise` (B, units) float32";

namespace {

void set_overrides(Options& list, const std::vector<std::string>& overrides) {
  for (const auto& assignment : overrides) apply_override(assignment, list);
}

weights::NamedTensors forward_mae(const ForwardArguments& arguments, const weights::TensorFile& file,
                                  const fs::path& path, const at::Tensor& image, const at::Tensor* given_noise) {
  nn::MaeOptions options = model_options_of(file, path);
  options.swin.image_size = {image.size(2), image.size(3)};
  Options list;
  nn::describe(list, options);
  set_overrides(list, arguments.model_overrides);
  nn::Mae model(options);
  weights::require_complete(weights::load_into(*model, file), path);
  model->eval();
  at::Tensor noise;
  if (given_noise != nullptr) {
    noise = *given_noise;
    if (noise.dim() != 2 || noise.size(0) != image.size(0) || noise.size(1) != model->num_units() ||
        noise.scalar_type() != at::kFloat) {
      fail_file(arguments.input,
                concat("`noise` has shape ", noise.sizes(), ", this image needs float32 (", image.size(0), ", ",
                       model->num_units(), ")"),
                kInput);
    }
  } else {
    std::vector<uint64_t> seeds;
    for (int64_t i = 0; i < image.size(0); ++i) seeds.push_back(derive_seed(static_cast<uint64_t>(arguments.seed), i));
    noise = data::uniform_draws(seeds, Stream::validation_mask, model->num_units());
  }
  const nn::MaeOutput result = model->forward(image, noise);
  return {{"pred", result.prediction},
          {"loss", result.loss.view({1})},
          {"mask", result.hidden.to(at::kFloat)},
          {"noise", noise}};
}

template <class NetOptions>
void set_size(const ForwardArguments& arguments, const at::Tensor& image, NetOptions& options) {
  options.swin.image_size = {image.size(2), image.size(3)};
  Options list;
  nn::describe(list, options);
  set_overrides(list, arguments.model_overrides);
}

weights::NamedTensors forward_simclr(const ForwardArguments& arguments, const weights::TensorFile& file,
                                     const fs::path& path, const at::Tensor& image) {
  nn::SimclrOptions options = simclr_options_of(file, path);
  set_size(arguments, image, options);
  nn::Simclr model(options);
  weights::require_complete(weights::load_into(*model, file), path);
  model->eval();
  const at::Tensor features = model->features(image);
  return {{"features", features.contiguous()}, {"projection", model->project(features)}};
}

void require_key(const weights::TensorFile& file, const std::string& key, const std::string& model,
                 const fs::path& path) {
  if (file.find(key) == nullptr)
    throw Error(ExitCode::checkpoint, concat(path.string(), ": has no ", key, ", so it is no ", model));
}

weights::NamedTensors forward_segmenter(const ForwardArguments& arguments, const nn::SegmenterKind& kind,
                                        weights::TensorFile file, const fs::path& path, const at::Tensor& image) {
  const bool is_imagenet = weights::is_imagenet_swin(weights::rename_to_reference(file));
  require_key(file, kind.head, kind.name, path);
  nn::UnetOptions options = unet_options_of(file, path, is_imagenet);
  const std::vector<int64_t> size_of_weights = options.swin.image_size;
  set_size(arguments, image, options);
  if (kind.name == "transunet") weights::fit_positions(file, size_of_weights, options.swin.image_size, path);
  const nn::SegmenterModule model = nn::make_segmenter(kind.name, options);
  weights::require_complete(weights::load_into(*model.module, file), path);
  model.module->eval();
  return {{"logits", model.net->forward(image).contiguous()}};
}

weights::NamedTensors forward_classifier(const ForwardArguments& arguments, weights::TensorFile file,
                                         const fs::path& path, const at::Tensor& image) {
  const bool is_imagenet = weights::is_imagenet_swin(weights::rename_to_reference(file));
  require_key(file, "head.weight", arguments.model, path);
  nn::ClassifierOptions options{swin_options_of(file, path, is_imagenet), file.find("head.weight")->size(0)};
  set_size(arguments, image, options);
  nn::SwinClassifier model(options);
  weights::require_complete(weights::load_into(*model, file), path);
  model->eval();
  return {{"logits", model->forward(image).contiguous()}};
}

}  // namespace

void forward(const ForwardArguments& arguments) {
  const fs::path path = find_weights(arguments.weights);
  const weights::TensorFile file = weights::read_weights(path);
  const weights::TensorFile input = weights::read_safetensors(arguments.input);
  const at::Tensor* image = input.find("image");
  if (image == nullptr || image->dim() != 4 || image->scalar_type() != at::kFloat)
    fail_file(arguments.input, "no float32 tensor `image` of four dimensions", kInput);
  train::configure_compute(at::kCPU, /*threads=*/0);
  const at::NoGradGuard no_grad;
  weights::NamedTensors output;
  if (arguments.model == "mae") output = forward_mae(arguments, file, path, *image, input.find("noise"));
  if (arguments.model == "simclr") output = forward_simclr(arguments, file, path, *image);
  if (arguments.model == "swin-classifier") output = forward_classifier(arguments, file, path, *image);
  if (const nn::SegmenterKind* kind = nn::find_segmenter(arguments.model))
    output = forward_segmenter(arguments, *kind, file, path, *image);
  weights::write_safetensors(arguments.output, output, {});
  log::info(concat(arguments.model == "mae" ? concat("loss ", output[1].second.item<float>(), ", ") : "", "written to ",
                   arguments.output.string()));
}

}  // namespace vmae::run
