#include "vmae/run/tools.h"

#include <nlohmann/json.hpp>

#include "vmae/core/config.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/core/random.h"
#include "vmae/core/version.h"
#include "vmae/data/draws.h"
#include "vmae/run/model_file.h"
#include "vmae/train/device.h"
#include "vmae/weights/pth.h"
#include "vmae/weights/weights.h"

namespace vmae::run {

namespace fs = std::filesystem;

void forward(const ForwardArguments& arguments) {
  const fs::path path = find_weights(arguments.weights);
  const weights::TensorFile file = weights::read_weights(path);
  const weights::TensorFile input = weights::read_safetensors(arguments.input);
  const at::Tensor* image = input.find("image");
  const auto bad_input = [&](const std::string& what) {
    return Error(ExitCode::data, concat(arguments.input.string(), ": ", what), "give `image` (B, C, H, W) float32 and, optionally, `noise` (B, units) float32");
  };
  if (image == nullptr || image->dim() != 4 || image->scalar_type() != at::kFloat) throw bad_input("no float32 tensor `image` of four dimensions");

  nn::MaeOptions options = model_options_of(file, path);
  options.swin.image_size = {image->size(2), image->size(3)};
  Options list;
  nn::describe(list, options);
  for (const auto& assignment : arguments.model_overrides) apply_override(assignment, list);

  train::configure_compute(at::kCPU, /*threads=*/0);
  nn::Mae model(options);
  weights::require_complete(weights::load_into(*model, file), path);
  model->eval();
  const at::NoGradGuard no_grad;
  at::Tensor noise;
  if (const at::Tensor* given = input.find("noise")) {
    noise = *given;
    if (noise.dim() != 2 || noise.size(0) != image->size(0) || noise.size(1) != model->num_units() || noise.scalar_type() != at::kFloat) {
      throw bad_input(concat("`noise` has shape ", noise.sizes(), ", this image needs float32 (", image->size(0), ", ", model->num_units(), ")"));
    }
  } else {
    std::vector<uint64_t> seeds;
    for (int64_t i = 0; i < image->size(0); ++i) seeds.push_back(derive_seed(static_cast<uint64_t>(arguments.seed), i));
    noise = data::uniform_draws(seeds, Stream::validation_mask, model->num_units());
  }
  const nn::MaeOutput result = model->forward(*image, noise);
  weights::write_safetensors(arguments.output,
                             {{"pred", result.prediction}, {"loss", result.loss.view({1})}, {"mask", result.hidden.to(at::kFloat)}, {"noise", noise}}, {});
  log::info(concat("loss ", result.loss.item<float>(), ", written to ", arguments.output.string()));
}

void export_weights(const fs::path& weights_path, const fs::path& output) {
  const fs::path path = find_weights(weights_path);
  const weights::TensorFile file = weights::read_weights(path);
  if (output.extension() == ".pth" || output.extension() == ".pt") {
    weights::write_pth(output, file.tensors);
  } else if (output.extension() == ".safetensors") {
    weights::Metadata metadata = file.metadata;
    metadata.erase("checksum");
    metadata.erase("state");
    weights::write_safetensors(output, file.tensors, metadata);
  } else {
    throw Error(ExitCode::usage, concat("--output ", output.string(), ": unknown kind of file"), "end its name in .safetensors or .pth");
  }
  log::info(concat(file.tensors.size(), " tensors of ", path.string(), " written to ", output.string()));
}

}  // namespace vmae::run
