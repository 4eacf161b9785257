// Assembles a segmentation run: masks are looked at, then a network is trained on slices (segment_task.cpp), or as
// nnU-Net trains on patches of preprocessed cases (nnunet_data.cpp, nnunet_task.cpp).
#include "vmae/tasks/segment.h"

#include <optional>

#include "nnunet.h"
#include "segment_tasks.h"
#include "vmae/cases/class_names.h"
#include "vmae/core/log.h"
#include "vmae/runs/unused_keys.h"
#include "vmae/tasks/finetune.h"
#include "vmae/tasks/folds.h"
#include "vmae/tasks/training.h"

namespace vmae::run {

namespace {

const nn::SegmenterKind& kind_of(const SegmentConfig& config) { return *nn::find_segmenter(config.model.name); }

void check_options(const SegmentConfig& config) {
  if (config.loss.name == "dice" && (!config.loss.class_weights.empty() || config.loss.balance != "none"))
    throw Error(ExitCode::usage,
                "loss.class_weights and loss.balance are of the cross-entropy, which loss.name = dice has not",
                "leave them out, or use loss.name=dice_ce");
  const bool has_dice = config.loss.name.starts_with("dice");
  if (config.loss.absent_classes && (!has_dice || config.loss.dice == "generalised"))
    throw Error(ExitCode::usage,
                concat("loss.absent_classes is of the soft or squared Dice term, which ",
                       has_dice ? concat("loss.dice = ", config.loss.dice, " is not")
                                : concat("loss.name = ", config.loss.name, " has not")),
                "leave it out");
  const nn::SegmenterKind& kind = kind_of(config);
  if (!kind.takes_init && !config.model.init.empty())
    throw Error(ExitCode::usage, concat("model.init is set, but model.name = ", kind.name, " begins at random"),
                "leave it out");
  if (kind.is_swin) return;
  std::vector<std::string> keys;
  if (config.optim.layer_decay != 1.0) keys.push_back("optim.layer_decay = " + number_text(config.optim.layer_decay));
  if (config.optim.task_lr_scale != 1.0)
    keys.push_back("optim.task_lr_scale = " + number_text(config.optim.task_lr_scale));
  if (config.model.freeze != "none") keys.push_back("model.freeze = " + config.model.freeze);
  if (!keys.empty())
    throw Error(ExitCode::usage,
                concat(join(keys, ", "), ": of the Swin-UNet, which model.name = ", kind.name, " is not"),
                "leave out what is of the Swin-UNet");
}

void adopt_image_size(const Datasets& datasets, SegmentConfig& config) {
  const std::vector<int64_t> image_size = image_size_for(*datasets.train);
  config.model.net.swin.image_size = image_size;
  config.data.image.image_size = image_size;
  datasets.train->set_image_size(image_size);
  if (datasets.val) datasets.val->set_image_size(image_size);
}

// Of regions, these; else as the masks' classes are called.
std::vector<std::string> names_of_heads(const nnunet::Labels& labels) {
  std::vector<std::string> names;
  for (const nnunet::LabelEntry& entry : labels.foreground) names.push_back(entry.name);
  return names;
}

weights::Metadata metadata_of(const SegmentConfig& config, const Datasets& datasets, const Classes& classes,
                              const std::optional<NnUnetPlan>& nnunet) {
  weights::Metadata metadata{{"model", config.model.name}, {"model_options", model_options_json(config.model.net)}};
  ModelCard card = model_card(config.data, datasets);
  if (nnunet) {
    card.mirrors = "both";
    card.image.slice_axis = nnunet::slice_axis_of(nnunet->plans);
    metadata["nnunet_plans"] = nnunet->plans_json;
    metadata["nnunet_dataset"] = nnunet->dataset_json;
  } else {
    card.input = input_statistics(*datasets.train, config.data.augment);
  }
  card.class_names = nnunet ? names_of_heads(nnunet->labels) : classes.names;
  card.label_values = config.data.label_values;
  add_card(card, metadata);
  return metadata;
}

data::LoaderOptions loader_options(const SegmentConfig& config, const train::Plan& plan, const Classes& classes,
                                   uint64_t seed) {
  data::LoaderOptions loader = training_loader(config.data, plan, seed);
  loader.is_drawn = config.model.name == "nnunet";
  if (config.data.foreground_share > 0) {
    if (!config.data.weights.empty())
      throw Error(ExitCode::usage, "data.weights and data.foreground_share both say how batches are made up",
                  "leave one of them out");
    loader.is_marked = std::make_shared<const std::vector<bool>>(classes.train.has_foreground);
    loader.marked_share = config.data.foreground_share;
  }
  return loader;
}

std::vector<std::pair<std::string, std::string>> files_of(const std::optional<NnUnetPlan>& nnunet) {
  if (!nnunet) return {};
  return {{kPlansName, nnunet->plans_json}, {kDatasetName, nnunet->dataset_json}};
}

std::string text_of_model(const SegmentConfig& config, const Classes& classes,
                          const std::optional<NnUnetPlan>& nnunet) {
  if (nnunet && nnunet->labels.has_regions())
    return concat(config.model.name, " with ", nnunet->labels.foreground.size(), " regions (",
                  io::class_list(names_of_heads(nnunet->labels)), ")");
  return concat(config.model.name, " with ", classes.count(), " classes (background, ", io::class_list(classes.names),
                ")");
}

}  // namespace

ExitCode finetune_segmentation(SegmentConfig config, const TrainArguments& arguments, train::World& world) {
  refuse_keys_of_others(config);
  nn::SwinOptions& swin = config.model.net.swin;
  const bool is_size_open = swin.image_size.empty();  // as the images are, once these are known
  if (is_size_open) swin.image_size = {320, 320};
  nn::validate(kind_of(config), config.model.net);
  config.data.image.image_size = swin.image_size;
  config.data.image.in_channels = swin.in_channels;
  check_options(config);
  const bool is_nnunet = config.model.name == "nnunet";
  const Session session(config.run, arguments, "finetune-seg", world);
  require_own_model(session, config.model.name);
  log::info(text_of_recipe(config));
  warn_of_unused_keys(config);
  if (is_nnunet) check_nnunet(config, session);
  Datasets datasets = load_datasets(config.data, session, {.mask = true});
  if (!is_nnunet)  // whose plan says how slices lie and intensities become
    tell_images(datasets, config.data.image);
  config.data.image.in_channels = datasets.in_channels;
  swin.in_channels = datasets.in_channels;
  if (is_size_open && !is_nnunet) adopt_image_size(datasets, config);
  const Classes classes = find_classes(config, datasets);
  SegmentConfig recorded = config;
  std::optional<NnUnetPlan> nnunet;
  if (is_nnunet) {
    recorded.model.net = SegmentConfig(config.recipe).model.net;  // a plan decides what no config may say
    nnunet = nnunet_plan(config, session, datasets, classes);
    apply_plan(*nnunet, config);
    draw_patches(config, session, *nnunet, classes, datasets);
    recorded.train.batch_size = config.train.batch_size;
  } else {
    config.model.net.num_classes = classes.count();
    recorded = config;
  }
  const train::Plan plan =
      train::make_plan(config.train, config.optim, datasets.train->size(), session.device, world, arguments.dry_run);

  const SegmentParts parts{config, datasets, plan, classes, world};
  const std::unique_ptr<train::Task> task =
      nnunet ? nnunet_task(begin_nnunet(config, session), *nnunet, parts) : segment_task(parts, session);
  const auto scale =
      kind_of(config).is_swin ? lr_scale(swin, config.optim) : std::function<double(const std::string&)>();
  const auto optimizer = train::make_optimizer(task->module(), config.optim, scale);
  weights::Metadata metadata = metadata_of(config, datasets, classes, nnunet);
  data::LoaderOptions loader = loader_options(config, plan, classes, session.seed());
  DataCard card = classes.card;
  tell_seen_before(session, config.model.init, config.data, datasets, card);
  const ExitCode code = train_to_end(
      session, {.data = config.data,
                .datasets = datasets,
                .plan = plan,
                .task = *task,
                .optimizer = *optimizer,
                .loader = std::move(loader),
                .metadata = std::move(metadata),
                .model_text = text_of_model(config, classes, nnunet),
                .config_yaml = config_text(recorded),
                .init = config.model.init,
                .card = std::move(card),
                .files = files_of(nnunet),
                .report_changes = [&](const std::string& old_yaml) { report_changed_config(old_yaml, recorded); }});
  return code == ExitCode::ok ? predict_test(session, config.data, datasets) : code;
}

}  // namespace vmae::run
