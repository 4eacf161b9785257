#include "vmae/tasks/finetune.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "vmae/core/atomic_file.h"
#include "vmae/core/log.h"
#include "vmae/core/spread.h"
#include "vmae/predict/find_weights.h"
#include "vmae/prepare/prepare.h"
#include "vmae/prepared/prepared.h"
#include "vmae/runs/seen_before.h"
#include "vmae/sources/source.h"
#include "vmae/weights/transfer.h"
#include "vmae/weights/transunet.h"

namespace vmae::run {

namespace {

// Only what was loaded is frozen: a block that began at random would stay so.
void freeze(torch::nn::Module& module, const std::string& what, const std::vector<std::string>& loaded) {
  if (what == "none") return;
  if (loaded.empty())
    throw Error(ExitCode::usage,
                concat("model.freeze = ", what, ", but model.init is empty: random weights would stay random"),
                "give pretrained weights, or leave model.freeze out");
  const std::set<std::string> known(loaded.begin(), loaded.end());
  int64_t trained_blocks = 0;
  for (auto& item : module.named_parameters()) {
    const std::string& key = item.key();
    const bool is_encoder = key.starts_with("patch_embed.") || key.starts_with("layers."),
               is_frozen = is_encoder || (what == "linear_probe" && !key.starts_with("head."));
    if (is_frozen && known.contains(key)) item.value().set_requires_grad(false);
    if (is_encoder && !known.contains(key) && key.ends_with(".norm1.weight")) ++trained_blocks;
  }
  if (trained_blocks > 0)
    log::warning(concat("model.freeze: ", trained_blocks,
                        " blocks of the encoder that the weights don't have are trained; model.depths as in "
                        "pretraining has none of them"));
}

// The place of a parameter in the encoder: 0 patch embedding, then block after
// block (a merging belongs to the block before it); `blocks` + 1 for what follows.
int64_t layer_of(const std::string& key, const std::vector<int64_t>& depths) {
  if (key.starts_with("patch_embed.")) return 0;
  int64_t before = 0;
  for (size_t stage = 0; stage < depths.size(); ++stage) {
    const std::string prefix = concat("layers.", stage, "."), block = prefix + "blocks.";
    if (key.starts_with(block)) return before + 1 + std::stoll(key.substr(block.size()));
    before += depths[stage];
    if (key.starts_with(prefix)) return before;
  }
  return before + 1;
}

// The network computes something else than it learnt where its input has another range.
void warn_of_other_images(const weights::TensorFile& file, const std::filesystem::path& path,
                          const data::ImageOptions& now, const std::vector<std::string>& volume_rules) {
  const std::optional<data::ImageOptions> then = image_options_of(file);
  if (!then) return;
  data::ImageOptions theirs = *then, ours = now;
  Options their_list, our_list;
  data::describe(their_list, theirs);
  data::describe(our_list, ours);
  std::vector<std::string> differences;
  for (const Option& option : our_list.all()) {
    if (option.key == "slice_axis") continue;  // changes what is seen, not its values
    if (option.key == "modality") continue;    // says what files may say themselves
    const std::string before = their_list.find(option.key)->get(), is = option.get();
    if (before != is)
      differences.push_back(concat("data.", option.key, " = ", is.empty() ? "\"\"" : is,
                                   " (the weights: ", before.empty() ? "\"\"" : before, ")"));
  }
  if (!differences.empty())
    log::warning(concat("images are prepared otherwise than for the weights of ", path.string(), ": ",
                        join(differences, ", "), "; set them alike unless this is meant"));
  // The same options, but volumes whose modality was not known in pretraining, or is not now.
  const auto rules = file.metadata.find("volume_rules");
  if (!differences.empty() || rules == file.metadata.end() || rules->second.empty()) return;
  const std::string known = "; " + rules->second + "; ";
  const auto other = std::find_if(volume_rules.begin(), volume_rules.end(), [&](const auto& rule) {
    return known.find("; " + rule + "; ") == std::string::npos;
  });
  if (other != volume_rules.end())
    log::warning(concat("intensities are scaled by ", *other, " now, but were by ", rules->second,
                        " for the weights of ", path.string(),
                        ", as the modality of volumes was another, or not known; data.modality says it"));
}

// Microsoft's names without attn_mask are VISION-MAE's: the network is computed as the config says.
void warn_of_unknown_program(const std::filesystem::path& path, const nn::SwinOptions& swin) {
  if (!swin.shift_small_grids && swin.layer_norm_eps == 1e-5) return;
  log::warning(concat("the names in ", path.string(),
                      " don't tell whether it is of VISION-MAE or of an ImageNet Swin; the network is computed with "
                      "model.shift_small_grids = ",
                      swin.shift_small_grids ? "true" : "false",
                      " and model.layer_norm_eps = ", number_text(swin.layer_norm_eps),
                      ", but ImageNet and RadImageNet weights need model.shift_small_grids=false "
                      "model.layer_norm_eps=1e-5"));
}

}  // namespace

void prepare_module(torch::nn::Module& module, const nn::SwinOptions& swin, const TransferOptions& options,
                    bool is_segmenter, bool is_colour, const Session& session, const data::ImageOptions& image,
                    const std::vector<std::string>& volume_rules) {
  std::vector<std::string> loaded;
  // A run that is resumed has its own weights, and may outlive those
  // that it began from; only what is frozen must be known again.
  if (!options.init.empty() && !(session.resumes() && options.freeze == "none")) {
    const auto path = find_weights(options.init);
    weights::TensorFile file = weights::read_weights(path);
    weights::require_finite(file, path);
    const weights::Naming naming = weights::rename_to_reference(file);
    const nn::SwinOptions theirs = swin_options_of(file, path, weights::is_imagenet_swin(naming));
    if (!weights::tells_its_program(file, naming)) {
      warn_of_unknown_program(path, swin);
    } else if (theirs.shift_small_grids != swin.shift_small_grids || theirs.layer_norm_eps != swin.layer_norm_eps) {
      log::warning(concat("model.shift_small_grids = ", swin.shift_small_grids ? "true" : "false",
                          " and model.layer_norm_eps = ", number_text(swin.layer_norm_eps), ", but the weights of ",
                          path.string(), " were trained with ", theirs.shift_small_grids ? "true" : "false", " and ",
                          number_text(theirs.layer_norm_eps),
                          ": the network computes something else than they learnt"));
    }
    if (weights::fit_input_channels(file, swin.in_channels)) {
      log::info(concat("the first convolution was changed to ", swin.in_channels, " input channel",
                       swin.in_channels == 1 ? " (sum of its weights)" : "s (weights shared out evenly)"));
    }
    warn_of_other_images(file, path, image, volume_rules);
    const bool with_decoder =
        options.transfer == "encoder_decoder" || (options.transfer == "auto" && is_segmenter && !is_colour);
    const char* taken = with_decoder && weights::has_decoder(file) ? "encoder and decoder" : "encoder";
    const auto parts = with_decoder ? weights::Parts::encoder_decoder : weights::Parts::encoder;
    const weights::LoadReport report =
        weights::transfer_into(module, std::move(file), parts, options.allow_mismatch, path);
    log::info(concat("model.init = ", path.string(), " (names of ", weights::name_of(naming), "; ", taken,
                     "): ", weights::describe_report(report)));
    loaded = report.loaded;
  }
  freeze(module, options.freeze, loaded);
  module.to(session.device);
}

namespace {

// Heads of another number would not show in any shape: these are compared with allow_mismatch, too.
void require_same_encoder(nn::TransUnetOptions theirs, nn::TransUnetOptions ours, bool allow_mismatch,
                          const std::filesystem::path& path) {
  if (allow_mismatch) {
    const int64_t heads = theirs.vit_heads;
    theirs = ours;
    theirs.vit_heads = heads;
  }
  theirs.dropout = ours.dropout;
  theirs.decoder_channels = ours.decoder_channels;
  Options their_list, our_list;
  nn::describe(their_list, theirs);
  nn::describe(our_list, ours);
  std::vector<std::string> has, is, set;
  for (const Option& option : their_list.all()) {
    const std::string value = option.get(), own = our_list.find(option.key)->get();
    if (value == own) continue;
    has.push_back(concat(option.key, " = ", value));
    is.push_back(concat("model.", option.key, " = ", own));
    std::string& key = set.emplace_back(concat("model.", option.key, "=", value));
    std::erase(key, ' ');
  }
  if (has.empty()) return;
  throw Error(ExitCode::checkpoint,
              concat(path.string(), ": its encoder has ", join(has, ", "), ", but ", join(is, ", ")),
              "set " + join(set, " "));
}

}  // namespace

void prepare_transunet(torch::nn::Module& module, const nn::UnetOptions& net, const TransferOptions& options,
                       const Session& session, const data::ImageOptions& image,
                       const std::vector<std::string>& volume_rules) {
  if (!options.init.empty() && !session.resumes()) {
    const auto path = find_weights(options.init);
    weights::TensorFile file = weights::read_weights(path);
    weights::require_finite(file, path);
    const bool is_flax = weights::is_flax_vit(file);
    if (!is_flax && !weights::is_transunet(file))
      throw Error(ExitCode::checkpoint, path.string() + ": neither weights of a TransUNet nor of its encoder",
                  "model.name=transunet takes R50+ViT-B_16.npz, the authors' .pth, or a run of model.name=transunet; a "
                  "Swin encoder is for model.name=swin-unet");
    std::vector<int64_t> size;  // empty: not known
    if (is_flax) {
      const int64_t heads = weights::heads_of_flax_vit(file, path);
      weights::rename_flax_vit(file, path);
      nn::TransUnetOptions theirs = transunet_encoder_of(file, net.transunet);
      theirs.vit_heads = heads;
      require_same_encoder(theirs, net.transunet, options.allow_mismatch, path);
    } else if (file.metadata.contains("model_options")) {
      const nn::UnetOptions theirs = unet_options_of(file, path, /*is_imagenet=*/false);
      require_same_encoder(theirs.transunet, net.transunet, options.allow_mismatch, path);
      size = theirs.swin.image_size;
    }
    if (weights::fit_positions(file, size, net.swin.image_size, path))
      log::info(concat("the positions of ", path.string(), " were interpolated to images of ", net.swin.image_size[0],
                       " x ", net.swin.image_size[1]));
    warn_of_other_images(file, path, image, volume_rules);
    const weights::LoadReport report = weights::transfer_transunet(
        module, std::move(file), options.transfer == "encoder", options.allow_mismatch, path);
    log::info(concat("model.init = ", path.string(), " (", is_flax ? "R50-ViT of Flax" : "TransUNet",
                     "): ", weights::describe_report(report)));
  }
  module.to(session.device);
}

data::ImageOptions as_trained(data::ImageOptions image, const Datasets& datasets) {
  const io::SourceFile& file = datasets.split.train.front();
  if (file.prepared_case < 0) {
    image.slice_axis = datasets.slice_axis;
    return image;
  }
  const io::PreparedDataset dataset(file.path);
  const io::PreparedCase one = dataset.read_case(file.prepared_case);
  if (one.size[2] > 1 || one.axis != 2) image.slice_axis = io::axis_name(one.axis);
  if (dataset.info().intensity == "native") return image;
  const PrepareOptions prepared = options_of_dataset(dataset.info().options);
  image.intensity = prepared.intensity;
  image.window = prepared.window;
  image.percentiles = prepared.percentiles;
  return image;
}

ModelCard model_card(const DataOptions& data, const Datasets& datasets) {
  std::set<std::string> modalities;
  for (const io::SourceFile& file : datasets.split.train) modalities.insert(file.modality);
  return {.image = as_trained(data.image, datasets),
          .minmax = data.augment.minmax,
          .modalities = {modalities.begin(), modalities.end()},
          .channel_names = datasets.channel_names,
          .channel_modalities = datasets.channel_modalities,
          .mirrors = mirrors_of(data.augment)};
}

std::function<double(const std::string&)> lr_scale(const nn::SwinOptions& swin, const FinetuneOptimOptions& optim) {
  if (optim.layer_decay == 1.0 && optim.task_lr_scale == 1.0) return {};
  int64_t blocks = 0;
  for (const int64_t depth : swin.depths) blocks += depth;
  return [=, depths = swin.depths](const std::string& key) {
    return weights::is_of_task(key)
               ? optim.task_lr_scale
               : std::pow(optim.layer_decay, static_cast<double>(blocks + 1 - layer_of(key, depths)));
  };
}

namespace {

// Grey that is stored in three channels, as many JPEGs are.
bool has_equal_channels(const data::Slice& slice) {
  return io::visit(slice.type, [&]<class T>(T) {
    const T* values = static_cast<const T*>(slice.pixels);
    for (int64_t i = 0; i < slice.height * slice.width; ++i) {
      if (values[3 * i] != values[3 * i + 1] || values[3 * i] != values[3 * i + 2]) return false;
    }
    return true;
  });
}

}  // namespace

bool is_colour(const Datasets& datasets) {
  if (!datasets.channel_names.empty()) return false;
  const data::Dataset& dataset = *datasets.train;
  data::SliceBuffer buffer;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    try {
      const data::Slice slice = dataset.read(i, /*with_mask=*/false, buffer);
      const bool is_three = slice.channels == 3;
      if (is_three && dataset.image_options().in_channels == 1 && !has_equal_channels(slice))
        log::warning(
            "the images are in colour, but model.in_channels = 1: they become grey; set model.in_channels=3 to use the "
            "colour");
      return is_three;
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;  // the loader will quarantine it
    }
  }
  return false;
}

std::vector<int64_t> image_size_for(const data::Dataset& dataset) {
  constexpr int64_t kNumLookedAt = 64, kMultiple = 32, kSmallest = 64, kLargest = 320;
  std::vector<int64_t> heights, widths;
  data::SliceBuffer buffer;
  for (const int64_t index : evenly_spread(dataset.size(), kNumLookedAt)) {
    try {
      const data::Slice slice = dataset.read(index, /*with_mask=*/false, buffer);
      heights.push_back(slice.height);
      widths.push_back(slice.width);
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;  // the loader will quarantine it
    }
  }
  if (heights.empty()) return {kLargest, kLargest};
  const auto median = [](std::vector<int64_t>& values) {
    std::nth_element(values.begin(), values.begin() + std::ssize(values) / 2, values.end());
    return static_cast<double>(values[values.size() / 2]);
  };
  const double height = median(heights), width = median(widths),
               scale = std::min(1.0, static_cast<double>(kLargest) / std::max(height, width));
  const auto rounded = [&](double side) {
    return std::max(kSmallest, kMultiple * static_cast<int64_t>(std::ceil(scale * side / kMultiple - 1e-9)));
  };
  const std::vector<int64_t> size{rounded(height), rounded(width)};
  log::info(concat("model.image_size = [", size[0], ", ", size[1], "]: the images are ", height, " x ", width,
                   " pixels (median of ", heights.size(), ")"));
  return size;
}

at::Tensor weights_tensor(const std::vector<double>& weights, int64_t count, const std::string& key,
                          at::Device device) {
  if (weights.empty()) return {};
  if (weights.size() != 1 && static_cast<int64_t>(weights.size()) != count) {
    throw Error(ExitCode::usage, concat(key, " has ", weights.size(), " values, needed: ", count),
                "give one per class, in the order that the log names them");
  }
  at::Tensor tensor = at::tensor(weights, at::kFloat);
  if (weights.size() == 1) tensor = tensor.expand({count}).contiguous();
  return tensor.to(device);
}

void tell_seen_before(const Session& session, const std::string& init, const DataOptions& data,
                      const Datasets& datasets, DataCard& card) {
  if (init.empty() || !session.world.is_first()) return;
  const std::vector<io::SourceFile> external =
      data.test.empty() ? std::vector<io::SourceFile>{} : io::find_source(data.test, "auto", data.findings).files;
  const SeenBefore seen = seen_before(init, datasets.splits, external);
  card.seen_before = seen.text;
  card.was_seen = !seen.parts.empty();
  if (const auto old = session.folder ? session.folder->path() / "data_card" / "card.json" : std::filesystem::path();
      // what the run began from may be gone since
      session.resumes() && !seen.is_known && std::filesystem::exists(old)) {
    const auto json = nlohmann::json::parse(read_file(old), nullptr, /*allow_exceptions=*/false);
    if (json.is_object() && json.contains("seen_before") && json["seen_before"].is_object()) {
      card.seen_before = json["seen_before"].value("text", card.seen_before);
      card.was_seen = json["seen_before"].value("some", card.was_seen);
      return;
    }
  }
  if (seen.text.empty()) return;
  if (!card.was_seen) return log::info(seen.text);
  log::warning(
      concat(seen.text, ". Pretrain without them (the same data.splits and data.fold), or say it with the results"));
}

}  // namespace vmae::run
