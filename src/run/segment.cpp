// Assembles a segmentation run: masks are looked at, then a Swin-UNet is trained on slices; Dice is measured per case.
#include <ATen/ops/argmax.h>

#include <cmath>
#include <map>

#include "finetune_steps.h"
#include "vmae/core/log.h"
#include "vmae/data/label_census.h"
#include "vmae/io/class_names.h"
#include "vmae/io/read_image.h"
#include "vmae/run/panel.h"

namespace vmae::run {

namespace {

constexpr int64_t num_panel_samples = 8;

// What the masks say: which classes there are, and where there is anything.
struct Classes {
  std::vector<std::string> names;  // of values 1, 2, ...
  data::LabelCensus train;
  std::vector<int64_t> shown;  // validation (else training) samples with foreground
  bool can_measure_dice = false;
  int64_t count() const { return static_cast<int64_t>(names.size()) + 1; }
};

std::string count_text(const data::LabelCensus& census, const std::vector<std::string>& names) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < names.size(); ++i) parts.push_back(concat(names[i], " ", census.num_pixels[i + 1]));
  return concat(census.num_with_foreground, " of ", census.has_foreground.size(), " slices have foreground; pixels: ", join(parts, ", "));
}

// What the DICOM masks of the files call their values; every one must call them the same. Empty where there are other masks.
std::vector<std::string> structures_of(const std::vector<io::SourceFile>& files) {
  std::vector<std::string> names;
  for (const io::SourceFile& file : files) {
    const std::vector<std::string> own = io::structure_names(file);
    if (own.empty()) return {};
    if (names.empty()) names = own;
    if (own != names) {
      throw Error(ExitCode::data, concat("the masks of ", file.name, " have the structures [", join(own, ", "), "], others have [", join(names, ", "), "]"),
                  "give all the same numbers first: vmae prepare with prepare.structures");
    }
  }
  return names;
}

Classes find_classes(const SegmentConfig& config, const Datasets& datasets, bool is_one_of_folds) {
  const int64_t ignore = config.data.ignore_label;
  Classes classes;
  classes.train = data::take_census(*datasets.train, ignore);
  const data::LabelCensus val = datasets.val ? data::take_census(*datasets.val, ignore) : data::LabelCensus{};
  for (const std::string& remark : io::check_class_names(config.data.classes, "data.classes", ExitCode::usage)) log::warning(remark);
  classes.names = config.data.classes.empty() ? datasets.splits.mask_names : config.data.classes;
  if (classes.names.empty()) classes.names = structures_of(datasets.split.train);
  if (classes.names.empty()) {
    if (is_one_of_folds)
      throw Error(ExitCode::usage, "--fold all needs the names of the classes: masks of one fold may hold values that another does not",
                  "set data.classes, for example data.classes=[liver,tumour]");
    for (int64_t value = 1; value < std::max(classes.train.num_classes, val.num_classes); ++value) classes.names.push_back(std::to_string(value));
  }
  if (ignore >= 0 && ignore < classes.count())
    throw Error(ExitCode::usage, concat("data.ignore_label = ", ignore, " is also a class"), "name the classes in data.classes, or use another value");
  data::check_labels(classes.train, *datasets.train, classes.count(), ignore);
  if (datasets.val) data::check_labels(val, *datasets.val, classes.count(), ignore);
  if (classes.train.num_with_foreground == 0)
    throw Error(ExitCode::data, "no training mask has any foreground", "check that the masks belong to the images, and data.ignore_label");
  log::info(concat("training masks: ", count_text(classes.train, classes.names)));
  for (size_t i = 0; i < classes.names.size(); ++i) {
    if (classes.train.num_pixels[i + 1] == 0) log::warning(concat("class ", i + 1, " (", classes.names[i], ") is in no training mask: it can't be learnt"));
    if (datasets.val && val.num_pixels[i + 1] == 0)
      log::warning(concat("class ", i + 1, " (", classes.names[i], ") is in no validation mask: its Dice is not measured"));
  }
  classes.can_measure_dice = val.num_with_foreground > 0;
  if (datasets.val && !classes.can_measure_dice) log::warning("no validation mask has any foreground: the loss decides which weights are the best, not Dice");
  const auto& seen = datasets.val ? val.has_foreground : classes.train.has_foreground;
  for (size_t i = 0; i < seen.size(); ++i) {
    if (seen[i]) classes.shown.push_back(static_cast<int64_t>(i));
  }
  return classes;
}

at::Tensor class_weights(const SegmentConfig& config, const Classes& classes, at::Device device) {
  if (!config.loss.class_weights.empty()) return weights_tensor(config.loss.class_weights, classes.count(), "loss.class_weights", device);
  if (config.loss.balance == "none") return {};
  std::vector<double> weights;
  double smallest = 1e300, sum = 0;
  for (int64_t k = 0; k < classes.count(); ++k) {
    weights.push_back(1.0 / static_cast<double>(std::max<int64_t>(1, classes.train.num_pixels[static_cast<size_t>(k)])));
    smallest = std::min(smallest, weights.back());
  }
  for (double& weight : weights) sum += weight = std::min(weight, 10 * smallest);
  for (double& weight : weights) weight *= static_cast<double>(classes.count()) / sum;
  std::vector<std::string> parts;
  for (const double weight : weights) parts.push_back(number_text(std::round(weight * 1000) / 1000));
  log::info(concat("loss.class_weights from the training masks: [", join(parts, ", "), "]"));
  return weights_tensor(weights, classes.count(), "loss.class_weights", device);
}

// Pixels of one class over all slices of a case.
struct Overlap {
  double both = 0, predicted = 0, truth = 0;
};

// Dice of each class: the mean over the cases in which mask or prediction has it; then the mean over the classes that some mask has.
train::Metrics dice_metrics(const std::map<int64_t, std::vector<Overlap>>& cases, const std::vector<std::string>& names) {
  train::Metrics metrics;
  double sum = 0;
  int64_t measured = 0;
  for (size_t k = 0; k < names.size(); ++k) {
    double class_sum = 0, truth = 0;
    int64_t n = 0;
    for (const auto& [number, overlaps] : cases) {
      const Overlap& overlap = overlaps[k];
      if (overlap.predicted + overlap.truth == 0) continue;
      class_sum += 2 * overlap.both / (overlap.predicted + overlap.truth);
      truth += overlap.truth;
      ++n;
    }
    if (truth == 0) continue;
    metrics.emplace_back("Dice/" + names[k], class_sum / static_cast<double>(n));
    sum += metrics.back().second;
    ++measured;
  }
  metrics.insert(metrics.begin(), {"Dice", measured > 0 ? sum / static_cast<double>(measured) : std::nan("")});
  return metrics;
}

void sum_over_ranks(std::map<int64_t, std::vector<Overlap>>& cases, train::World& world) {
  std::vector<double> values;
  for (const auto& [number, overlaps] : cases) {
    for (const Overlap& one : overlaps) values.insert(values.end(), {one.both, one.predicted, one.truth});
  }
  at::Tensor table = at::tensor(values, at::kDouble);
  world.sum(table);
  const double* value = table.const_data_ptr<double>();
  for (auto& [number, overlaps] : cases) {
    for (Overlap& one : overlaps) one.both = *value++, one.predicted = *value++, one.truth = *value++;
  }
}

// On the grid of the network, every slice once; `loss` is the training loss, per batch.
train::Metrics validate(nn::SwinUnet& model, const std::shared_ptr<data::Dataset>& dataset, const SegmentConfig& config, const train::Plan& plan,
                        const Classes& classes, const at::Tensor& weights, train::World& world) {
  const data::AugmentOptions evaluation = data::evaluation_augmentation(config.data.augment);
  data::Loader loader(dataset, loader_options(config.data, plan, static_cast<uint64_t>(config.run.seed), /*shuffle=*/false), &evaluation, {}, /*epochs=*/1);
  // Every rank has every case, so that what the ranks counted can be added up: whole numbers, exactly.
  std::map<int64_t, std::vector<Overlap>> cases;
  for (int64_t i = 0; i < dataset->size(); ++i) cases[dataset->case_number(i)].resize(classes.names.size());
  double loss_sum = 0, count = 0;
  for (data::Batch batch; next_for_validation(loader, batch);) {
    const train::RankSum total = world.total(batch.counts);
    batch.image = batch.image.to(plan.device);
    const at::Tensor mask = batch.mask.to(plan.device);
    at::Tensor logits;
    {
      const train::Autocast autocast(plan.device.type(), plan.precision);
      logits = model->forward(batch.image);
    }
    const int64_t n = batch.counts ? batch.image.size(0) : 0;
    at::Tensor samples = at::full({}, n, at::kDouble);
    world.sum(samples);
    loss_sum += nn::segmentation_loss(logits, mask, config.loss, weights, config.data.ignore_label, total).item<double>() * samples.item<double>();
    count += samples.item<double>();
    const at::Tensor counts = mask != config.data.ignore_label, predicted = at::argmax(logits, 1);
    for (int64_t k = 1; k < classes.count(); ++k) {
      const at::Tensor is_predicted = (predicted == k) & counts, is_true = (mask == k) & counts;
      const auto sums = [](const at::Tensor& pixels) { return pixels.sum(at::IntArrayRef({1, 2})).to(at::kDouble); };
      const at::Tensor table = at::stack({sums(is_predicted & is_true), sums(is_predicted), sums(is_true)}).cpu();  // (3, n)
      const auto values = table.accessor<double, 2>();
      for (int64_t i = 0; i < n; ++i) {
        auto& overlaps = cases[dataset->case_number(batch.indices[static_cast<size_t>(i)])];
        Overlap& overlap = overlaps[static_cast<size_t>(k - 1)];
        overlap.both += values[0][i], overlap.predicted += values[1][i], overlap.truth += values[2][i];
      }
    }
  }
  sum_over_ranks(cases, world);
  train::Metrics metrics = dice_metrics(cases, classes.names);
  const std::pair<std::string, double> loss{"loss", loss_sum / count};
  if (!classes.can_measure_dice) return {loss};
  metrics.push_back(loss);
  return metrics;
}

}  // namespace

ExitCode finetune_segmentation(SegmentConfig config, const TrainArguments& arguments, train::World& world) {
  nn::validate(config.model.net.swin, /*size_multiple=*/1);
  config.data.image.image_size = config.model.net.swin.image_size;
  config.data.image.in_channels = config.model.net.swin.in_channels;
  if (config.loss.name == "dice" && (!config.loss.class_weights.empty() || config.loss.balance != "none"))
    throw Error(ExitCode::usage, "loss.class_weights and loss.balance are of the cross-entropy, which loss.name = dice has not",
                "leave them out, or use loss.name=dice_ce");
  const Session session(config.run, arguments, "finetune-seg", world);
  const Datasets datasets = load_datasets(config.data, session, {.mask = true, .keeps_255 = config.data.ignore_label == 255});
  const Classes classes = find_classes(config, datasets, arguments.is_one_of_folds);
  const train::Plan plan = train::make_plan(config.train, config.optim, datasets.train->size(), session.device, world, arguments.dry_run);

  config.model.net.num_classes = classes.count();
  torch::manual_seed(derive_seed(session.seed(), Stream::init));
  nn::SwinUnet model(config.model.net);
  prepare_module(*model, config.model.net.swin, config.model, /*is_segmenter=*/true, is_colour(*datasets.train), session);
  train::AdamW optimizer(*model, config.optim, layer_wise_scale(config.model.net.swin, config.optim.layer_decay));
  const at::Tensor weights = class_weights(config, classes, session.device);

  train::Task task(*model);
  task.draws = [&](const data::Batch& batch) -> std::vector<at::Tensor> { return {drop_path_draws(batch, model->num_draws())}; };
  task.loss = [&](const data::Batch& batch, const train::RankSum& total) {
    return nn::segmentation_loss(model->forward(batch.image, batch.draws[0]), batch.mask, config.loss, weights, config.data.ignore_label, total);
  };
  if (datasets.val) task.validate = [&] { return validate(model, datasets.val, config, plan, classes, weights, world); };
  task.lower_is_better = !classes.can_measure_dice;
  task.metadata = {{"model", config.model.name}, {"model_options", model_options_json(config.model.net)}};
  add_card({.class_names = classes.names, .image = as_trained(config.data.image, datasets), .minmax = config.data.augment.minmax}, task.metadata);

  data::LoaderOptions loader = loader_options(config.data, plan, session.seed(), /*shuffle=*/true);
  if (config.data.foreground_share > 0) {
    if (!config.data.weights.empty())
      throw Error(ExitCode::usage, "data.weights and data.foreground_share both say how batches are made up", "leave one of them out");
    loader.is_marked = std::make_shared<const std::vector<bool>>(classes.train.has_foreground);
    loader.marked_share = config.data.foreground_share;
  }
  const data::Batch shown =
      panel_batch(datasets.val ? *datasets.val : *datasets.train, config.data.augment, session.seed(), session.device, num_panel_samples, classes.shown);
  const auto draw = [&](train::RunLog& log, int64_t step, int64_t epoch) {
    const at::Tensor predicted = at::argmax(model->forward(shown.image), 1).to(at::kByte).cpu();
    log.panel(panel_name("overlay", epoch), segmentation_panel(shown.image.cpu(), shown.mask, predicted, config.data.image.mean, config.data.image.std), step);
  };
  const ExitCode code =
      train_to_end(session, {.data = config.data,
                             .datasets = datasets,
                             .plan = plan,
                             .task = task,
                             .optimizer = optimizer,
                             .loader = loader,
                             .model_text = concat(config.model.name, " with ", classes.count(), " classes (background, ", join(classes.names, ", "), ")"),
                             .config_yaml = config_text(config),
                             .report_changes = [&](const std::string& old_yaml) { report_changed_config(old_yaml, config); },
                             .draw = draw});
  return code == ExitCode::ok ? predict_test(session, config.data, datasets) : code;
}

}  // namespace vmae::run
