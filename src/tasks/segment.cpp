// Assembles a segmentation run: masks are looked at, then a network is trained on slices; Dice is measured per case.
#include "vmae/tasks/segment.h"

#include <ATen/ops/argmax.h>

#include <cmath>
#include <map>

#include "vmae/cases/channels.h"
#include "vmae/cases/class_names.h"
#include "vmae/cases/label_meaning.h"
#include "vmae/cases/mask_numbering.h"
#include "vmae/core/log.h"
#include "vmae/data/label_census.h"
#include "vmae/nn/losses.h"
#include "vmae/pictures/panel.h"
#include "vmae/sources/source.h"
#include "vmae/tasks/finetune.h"
#include "vmae/tasks/folds.h"
#include "vmae/tasks/training.h"
#include "vmae/tasks/validation.h"

namespace vmae::run {

namespace {

// What the masks say: which classes there are, and where there is anything.
struct Classes {
  std::vector<std::string> names;  // of values 1, 2, ...
  data::LabelCensus train;
  std::vector<int64_t> shown;  // validation (else training) samples with foreground
  int64_t ignore = -1;         // io::kIgnored, or -1
  DataCard card;
  bool can_measure_dice = false;
  int64_t count() const { return static_cast<int64_t>(names.size()) + 1; }
};

std::string count_text(const data::LabelCensus& census, const std::vector<std::string>& names) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < names.size(); ++i) parts.push_back(concat(names[i], " ", census.num_pixels[i + 1]));
  return concat(census.num_with_foreground, " of ", std::ssize(census.has_foreground) - census.num_unusable,
                " slices have foreground; pixels: ", join(parts, ", "),
                census.num_unusable > 0 ? concat("; slices that can't be used: ", census.num_unusable) : "");
}

// Adds the masks of parts that neither train nor validate in this run: of
// tests, of other folds and fractions. So all folds of a dataset mean the same.
void add_other_masks(const SegmentConfig& config, const std::vector<const std::vector<io::SourceFile>*>& parts,
                     int64_t ignore, io::LabelFacts& facts) {
  std::map<std::filesystem::path, std::vector<io::SourceFile>> lists;  // by prepared dataset; "": files
  for (const auto* part : parts) {
    for (const io::SourceFile& file : *part) {
      if (file.prepared_case >= 0 || !file.mask.empty())
        lists[file.prepared_case >= 0 ? file.path : ""].push_back(file);
    }
  }
  for (auto& [path, files] : lists) {
    const data::Dataset others(std::move(files), config.data.image,
                               std::make_shared<data::Quarantine>("", /*max_bad_fraction=*/1.0));
    data::add_facts(data::take_census(others, ignore), others, facts);
  }
}

// As the network takes them, so that its input has the channels that it expects.
std::vector<io::SourceFile> with_channels(const SegmentConfig& config, std::vector<io::SourceFile> files) {
  return config.data.channels == "single" ? io::single_channels(files) : std::move(files);
}

io::LabelMeaning find_meaning(const SegmentConfig& config, const Datasets& datasets, const data::LabelCensus& train,
                              const data::LabelCensus& val, int64_t ignore) {
  for (const std::string& remark : io::check_class_names(config.data.classes, "data.classes", ExitCode::usage))
    log::warning(remark);
  io::LabelRules rules{.names = config.data.classes, .values = config.data.label_values, .ignore = ignore};
  if (rules.names.empty() && !datasets.splits.mask_conflict.empty())
    throw Error(ExitCode::data, datasets.splits.mask_conflict,
                "give all the same numbers and names, or say with data.classes what the values mean in all of them");
  for (const std::vector<std::string>& own : datasets.splits.mask_names_of_sources)
    // throws where names are exchanged
    io::label_meaning({.names = rules.names, .own_names = own, .values = rules.values, .ignore = ignore}, {});
  std::vector<io::SourceFile> files = datasets.split.train;
  for (const auto* part : {&datasets.split.val, &datasets.split.test, &datasets.split.unused})
    files.insert(files.end(), part->begin(), part->end());
  io::check_numbering(files, rules.names.empty() ? datasets.splits.mask_names() : rules.names);
  const std::vector<std::string> structures = io::structure_names(files, datasets.splits.mask_names());
  rules.own_names = datasets.splits.mask_names().empty() ? structures : datasets.splits.mask_names();
  io::LabelFacts facts;
  data::add_facts(train, *datasets.train, facts);
  if (datasets.val) data::add_facts(val, *datasets.val, facts);
  // the names alone decide
  const bool is_told = !rules.values.empty() || rules.names.size() > 1 || rules.own_names.size() > 1;
  // what is wrong there is told before training
  std::vector<const std::vector<io::SourceFile>*> others{&datasets.split.test};
  if (!is_told) others.push_back(&datasets.split.unused);
  add_other_masks(config, others, ignore, facts);
  io::LabelMeaning meaning = io::label_meaning(rules, facts);
  io::LabelFacts of_test;  // held against what training makes of its masks
  const std::vector<io::SourceFile> external = config.data.test.empty()
                                                   ? std::vector<io::SourceFile>{}
                                                   : with_channels(config, io::find_source(config.data.test).files);
  add_other_masks(config, {&external}, ignore, of_test);
  if (of_test.num_masks > 0)
    io::label_meaning({.names = meaning.names, .values = rules.values, .ignore = ignore}, of_test);
  for (std::string& rule : io::region_rules(datasets.splits.regions)) meaning.rules.push_back(std::move(rule));
  for (const std::string& rule : meaning.rules) log::info("masks: " + rule);
  return meaning;
}

Classes find_classes(const SegmentConfig& config, const Datasets& datasets) {
  const int64_t ignore = io::ignored_value(config.data.ignore_label, datasets.splits.ignore_label);
  Classes classes;
  classes.train = data::take_census(*datasets.train, ignore);
  data::LabelCensus val = datasets.val ? data::take_census(*datasets.val, ignore) : data::LabelCensus{};
  const io::LabelMeaning meaning = find_meaning(config, datasets, classes.train, val, ignore);
  classes.names = meaning.names;
  classes.ignore = meaning.ignore;
  classes.card = card_of(datasets);
  classes.card.meaning = meaning;
  classes.card.parts[0].census = std::make_shared<const data::LabelCensus>(classes.train);
  if (datasets.val) classes.card.parts[1].census = std::make_shared<const data::LabelCensus>(val);
  classes.train = data::in_classes(std::move(classes.train), meaning);
  val = data::in_classes(std::move(val), meaning);
  if (!meaning.keeps_values) {
    datasets.train->set_classes(meaning.class_of);
    if (datasets.val) datasets.val->set_classes(meaning.class_of);
  }
  if (classes.train.num_with_foreground == 0)
    throw Error(ExitCode::data, "no training mask has any foreground",
                "check that the masks belong to the images, and data.ignore_label");
  log::info(concat("training masks: ", count_text(classes.train, classes.names)));
  const auto warn_of_absent = [&](const data::LabelCensus& census, const std::string& text) {
    std::vector<std::string> absent;
    for (size_t i = 0; i < classes.names.size(); ++i) {
      if (census.num_pixels[i + 1] == 0) absent.push_back(concat(i + 1, " (", classes.names[i], ")"));
    }
    if (!absent.empty())
      log::warning(concat(absent.size() == 1 ? "class " : "classes ", join(absent, ", "),
                          absent.size() == 1 ? " is " : " are ", text));
  };
  warn_of_absent(classes.train, "in no training mask: can't be learnt");
  if (datasets.val) warn_of_absent(val, "in no validation mask: no Dice is measured");
  classes.can_measure_dice = val.num_with_foreground > 0;
  if (datasets.val && !classes.can_measure_dice)
    log::warning("no validation mask has any foreground: the loss decides which weights are the best, not Dice");
  const auto& seen = datasets.val ? val.has_foreground : classes.train.has_foreground;
  for (size_t i = 0; i < seen.size(); ++i) {
    if (seen[i]) classes.shown.push_back(static_cast<int64_t>(i));
  }
  return classes;
}

at::Tensor class_weights(const SegmentConfig& config, const Classes& classes, at::Device device) {
  if (!config.loss.class_weights.empty())
    return weights_tensor(config.loss.class_weights, classes.count(), "loss.class_weights", device);
  if (config.loss.balance == "none") return {};
  std::vector<double> weights;
  double smallest = 1e300, sum = 0;
  for (int64_t k = 0; k < classes.count(); ++k) {
    weights.push_back(1.0 /
                      static_cast<double>(std::max<int64_t>(1, classes.train.num_pixels[static_cast<size_t>(k)])));
    smallest = std::min(smallest, weights.back());
  }
  for (double& weight : weights) {
    weight = std::min(weight, 10 * smallest);
    sum += weight;
  }
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

// Dice of each class: the mean over the cases in which mask or
// prediction has it; then the mean over the classes that some mask has.
train::Metrics dice_metrics(const std::map<int64_t, std::vector<Overlap>>& cases,
                            const std::vector<std::string>& names) {
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
    for (Overlap& one : overlaps) {
      one.both = *value++;
      one.predicted = *value++;
      one.truth = *value++;
    }
  }
}

class SegmentTask : public train::Task {
 public:
  // weights: of the classes in the loss; undefined if there are none.
  SegmentTask(nn::SegmenterModule segmenter, const Datasets& datasets, const SegmentConfig& config,
              const train::Plan& plan, const Classes& classes, at::Tensor weights, train::World& world)
      : segmenter_(std::move(segmenter)),
        datasets_(datasets),
        config_(config),
        plan_(plan),
        classes_(classes),
        weights_(std::move(weights)),
        world_(world),
        shown_(panel_batch(datasets.val ? *datasets.val : *datasets.train, config.data.augment, seed(), plan.device,
                           classes.shown)) {}
  torch::nn::Module& module() override { return *segmenter_.module; }

  std::vector<at::Tensor> draws(const data::Batch& batch) override {
    return {drop_path_draws(batch, model().num_draws())};
  }

  at::Tensor loss(const data::Batch& batch, const train::RankSum& total) override {
    const at::Tensor logits = model().forward(batch.image, batch.draws[0], world_.total_with_gradients(batch.counts));
    return loss_of(logits, batch.mask, total);
  }

  bool can_validate() const override { return datasets_.val != nullptr; }
  bool lower_is_better() const override { return !classes_.can_measure_dice; }

  // On the grid of the network, every slice once; `loss` is the training loss, per batch.
  train::Metrics validate() override {
    // Every rank has every case, so that what the ranks counted can be added up: whole numbers, exactly.
    std::map<int64_t, std::vector<Overlap>> cases;
    for (int64_t i = 0; i < datasets_.val->size(); ++i)
      cases[datasets_.val->case_number(i)].resize(classes_.names.size());
    double loss_sum = 0, count = 0;
    for_each_validation_batch(datasets_.val, config_.data, plan_, seed(), [&](const data::Batch& batch) {
      at::Tensor logits;
      {
        const train::Autocast autocast(plan_.device.type(), plan_.precision);
        logits = model().forward(batch.image);
      }
      at::Tensor samples = at::full({}, batch.counts ? batch.image.size(0) : 0, at::kDouble);
      world_.sum(samples);
      loss_sum += loss_of(logits, batch.mask, world_.total(batch.counts)).item<double>() * samples.item<double>();
      count += samples.item<double>();
      if (batch.counts) add_overlaps(at::argmax(logits, 1), batch, cases);
    });
    sum_over_ranks(cases, world_);
    train::Metrics metrics = dice_metrics(cases, classes_.names);
    const std::pair<std::string, double> loss{"loss", loss_sum / count};
    if (!classes_.can_measure_dice) return {loss};
    metrics.push_back(loss);
    return metrics;
  }

  train::Panel panel() override {
    const at::Tensor predicted = at::argmax(model().forward(shown_.image), 1).to(at::kByte).cpu();
    return {"overlay", segmentation_panel(shown_.image.cpu(), shown_.mask, predicted, classes_.names,
                                          config_.data.image.mean, config_.data.image.std)};
  }

 private:
  uint64_t seed() const { return static_cast<uint64_t>(config_.run.seed); }
  nn::Segmenter& model() { return *segmenter_.net; }
  at::Tensor loss_of(const at::Tensor& logits, const at::Tensor& mask, const train::RankSum& total) const {
    return nn::segmentation_loss(logits, mask, config_.loss, weights_, classes_.ignore, total);
  }

  void add_overlaps(const at::Tensor& predicted, const data::Batch& batch,
                    std::map<int64_t, std::vector<Overlap>>& cases) const {
    const at::Tensor counts = batch.mask != classes_.ignore;
    for (int64_t k = 1; k < classes_.count(); ++k) {
      const at::Tensor is_predicted = (predicted == k) & counts, is_true = (batch.mask == k) & counts;
      const auto sums = [](const at::Tensor& pixels) { return pixels.sum(at::IntArrayRef({1, 2})).to(at::kDouble); };
      // (3, B)
      const at::Tensor table = at::stack({sums(is_predicted & is_true), sums(is_predicted), sums(is_true)}).cpu();
      const auto values = table.accessor<double, 2>();
      for (int64_t i = 0; i < batch.image.size(0); ++i) {
        auto& overlaps = cases[datasets_.val->case_number(batch.indices[static_cast<size_t>(i)])];
        Overlap& overlap = overlaps[static_cast<size_t>(k - 1)];
        overlap.both += values[0][i];
        overlap.predicted += values[1][i];
        overlap.truth += values[2][i];
      }
    }
  }

  nn::SegmenterModule segmenter_;
  const Datasets& datasets_;
  const SegmentConfig& config_;
  const train::Plan& plan_;
  const Classes& classes_;
  at::Tensor weights_;
  train::World& world_;
  data::Batch shown_;
};

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
  if (!kind.is_swin &&
      (config.optim.layer_decay != 1.0 || config.optim.task_lr_scale != 1.0 || config.model.freeze != "none"))
    throw Error(
        ExitCode::usage,
        concat("optim.layer_decay, optim.task_lr_scale and model.freeze are of the Swin-UNet, which model.name = ",
               kind.name, " is not"),
        "leave them out");
}

void adopt_image_size(const Datasets& datasets, SegmentConfig& config) {
  const std::vector<int64_t> image_size = image_size_for(*datasets.train);
  config.model.net.swin.image_size = image_size;
  config.data.image.image_size = image_size;
  datasets.train->set_image_size(image_size);
  if (datasets.val) datasets.val->set_image_size(image_size);
}

nn::SegmenterModule make_model(const SegmentConfig& config, const Datasets& datasets, const Session& session) {
  torch::manual_seed(derive_seed(session.seed(), Stream::init));
  nn::SegmenterModule segmenter = nn::make_segmenter(config.model.name, config.model.net);
  const data::ImageOptions image = as_trained(config.data.image, datasets);
  if (config.model.name == "transunet")
    prepare_transunet(*segmenter.module, config.model.net, config.model, session, image, datasets.volume_rules);
  else
    prepare_module(*segmenter.module, config.model.net.swin, config.model, /*is_segmenter=*/true, is_colour(datasets),
                   session, image, datasets.volume_rules);
  return segmenter;
}

weights::Metadata metadata_of(const SegmentConfig& config, const Datasets& datasets, const Classes& classes) {
  weights::Metadata metadata{{"model", config.model.name}, {"model_options", model_options_json(config.model.net)}};
  ModelCard card = model_card(config.data, datasets);
  card.class_names = classes.names;
  card.label_values = config.data.label_values;
  add_card(card, metadata);
  return metadata;
}

data::LoaderOptions loader_options(const SegmentConfig& config, const train::Plan& plan, const Classes& classes,
                                   uint64_t seed) {
  data::LoaderOptions loader = training_loader(config.data, plan, seed);
  if (config.data.foreground_share > 0) {
    if (!config.data.weights.empty())
      throw Error(ExitCode::usage, "data.weights and data.foreground_share both say how batches are made up",
                  "leave one of them out");
    loader.is_marked = std::make_shared<const std::vector<bool>>(classes.train.has_foreground);
    loader.marked_share = config.data.foreground_share;
  }
  return loader;
}

}  // namespace

ExitCode finetune_segmentation(SegmentConfig config, const TrainArguments& arguments, train::World& world) {
  nn::SwinOptions& swin = config.model.net.swin;
  const bool is_size_open = swin.image_size.empty();  // as the images are, once these are known
  if (is_size_open) swin.image_size = {320, 320};
  nn::validate(kind_of(config), config.model.net);
  config.data.image.image_size = swin.image_size;
  config.data.image.in_channels = swin.in_channels;
  check_options(config);
  const Session session(config.run, arguments, "finetune-seg", world);
  log::info(text_of_recipe(config));
  const Datasets datasets = load_datasets(config.data, session, {.mask = true});
  config.data.image.in_channels = datasets.in_channels;
  swin.in_channels = datasets.in_channels;
  if (is_size_open) adopt_image_size(datasets, config);
  const Classes classes = find_classes(config, datasets);
  const train::Plan plan =
      train::make_plan(config.train, config.optim, datasets.train->size(), session.device, world, arguments.dry_run);

  config.model.net.num_classes = classes.count();
  nn::SegmenterModule model = make_model(config, datasets, session);
  SegmentTask task(std::move(model), datasets, config, plan, classes, class_weights(config, classes, session.device),
                   world);
  const auto scale =
      kind_of(config).is_swin ? lr_scale(swin, config.optim) : std::function<double(const std::string&)>();
  const auto optimizer = train::make_optimizer(task.module(), config.optim, scale);
  weights::Metadata metadata = metadata_of(config, datasets, classes);
  data::LoaderOptions loader = loader_options(config, plan, classes, session.seed());
  DataCard card = classes.card;
  tell_seen_before(session, config.model.init, config.data, datasets, card);
  const ExitCode code = train_to_end(
      session, {.data = config.data,
                .datasets = datasets,
                .plan = plan,
                .task = task,
                .optimizer = *optimizer,
                .loader = std::move(loader),
                .metadata = std::move(metadata),
                .model_text = concat(config.model.name, " with ", classes.count(), " classes (background, ",
                                     io::class_list(classes.names), ")"),
                .config_yaml = config_text(config),
                .init = config.model.init,
                .card = std::move(card),
                .report_changes = [&](const std::string& old_yaml) { report_changed_config(old_yaml, config); }});
  return code == ExitCode::ok ? predict_test(session, config.data, datasets) : code;
}

}  // namespace vmae::run
