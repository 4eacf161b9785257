// Assembles a classification run: labels are counted, then a Swin
// classifier is trained on slices; AUROC is measured per case.
#include "vmae/tasks/classify.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "vmae/core/log.h"
#include "vmae/image/caption.h"
#include "vmae/nn/losses.h"
#include "vmae/pictures/panel.h"
#include "vmae/predict/pool.h"
#include "vmae/runs/unused_keys.h"
#include "vmae/stats/auroc.h"
#include "vmae/tasks/finetune.h"
#include "vmae/tasks/folds.h"
#include "vmae/tasks/training.h"
#include "vmae/tasks/validation.h"

namespace vmae::run {

namespace {

// How many cases (files) have each label.
std::vector<int64_t> count_labels(const std::vector<io::SourceFile>& files, size_t num_labels) {
  std::vector<int64_t> counts(num_labels);
  for (const io::SourceFile& file : files) {
    for (size_t i = 0; i < file.labels.size(); ++i) counts[i] += file.labels[i] == 1.0F ? 1 : 0;
  }
  return counts;
}

int64_t count_known(const std::vector<io::SourceFile>& files) {
  return std::count_if(files.begin(), files.end(), [](const io::SourceFile& file) {
    return std::any_of(file.labels.begin(), file.labels.end(), [](float label) { return !std::isnan(label); });
  });
}

std::string counts_text(const std::vector<std::string>& names, const std::vector<int64_t>& counts) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < names.size(); ++i) parts.push_back(concat(names[i], " ", counts[i]));
  return join(parts, ", ");
}

struct Measurable {
  bool auroc = false, accuracy = false;
};

// Throws where nothing can be learnt; says what can't be learnt or measured.
Measurable check_labels(const Datasets& datasets) {
  const SourceSplits& splits = datasets.splits;
  if (splits.label_names.empty()) {
    const auto& layouts = splits.layouts;
    const bool is_prepared = std::find(layouts.begin(), layouts.end(), "prepared") != layouts.end();
    throw Error(ExitCode::data, is_prepared ? "data.train was prepared without labels" : "data.train has no labels",
                is_prepared ? "prepare it from a manifest with a column `label` or columns of findings, or from a "
                              "folder per class with prepare.layout=class_folders"
                            : "give a manifest with a column `label` (classes) or one column per finding (0, 1 or "
                              "empty), or a folder per class");
  }
  const size_t n = splits.label_names.size();
  const std::vector<int64_t> train = count_labels(datasets.split.train, n), val = count_labels(datasets.split.val, n);
  const int64_t known = count_known(datasets.split.train), known_val = count_known(datasets.split.val);
  log::info(concat(splits.is_multi_label ? "findings" : "classes",
                   ", cases in training: ", counts_text(splits.label_names, train), " (of ", known,
                   "); in validation: ", counts_text(splits.label_names, val), " (of ", known_val, ")"));
  int64_t learnable = 0, measurable = 0;
  for (size_t i = 0; i < n; ++i) {
    const bool can_learn = train[i] > 0 && train[i] < known;
    const bool can_measure = val[i] > 0 && val[i] < known_val;
    learnable += can_learn ? 1 : 0;
    measurable += can_measure ? 1 : 0;
    if (!can_learn)
      log::warning(concat(splits.label_names[i],
                          train[i] == 0 ? " is in no training case" : " is in every training case",
                          ": it can't be learnt"));
    if (datasets.val && !can_measure)
      log::warning(concat(splits.label_names[i],
                          val[i] == 0 ? " is in no validation case" : " is in every validation case",
                          ": its AUROC is not measured"));
  }
  if (learnable == 0) {
    throw Error(ExitCode::data,
                concat("all ", known, " labelled training cases have the same label: there is nothing to tell apart (",
                       counts_text(splits.label_names, train), ")"),
                "check the labels, or choose another fold or a larger data.label_fraction");
  }
  return {measurable > 0, known_val > 0};
}

// A key that is set though only the other task has it; "": there is none.
std::string key_of_other_task(const nn::ClassificationLossOptions& loss, bool is_multi_label) {
  if (!is_multi_label) return loss.positive_weights.empty() ? "" : "loss.positive_weights";
  if (!loss.class_weights.empty()) return "loss.class_weights";
  return loss.label_smoothing > 0 ? "loss.label_smoothing" : "";
}

void require_loss_of_task(const nn::ClassificationLossOptions& loss, bool is_multi_label) {
  const std::string wrong = key_of_other_task(loss, is_multi_label);
  if (wrong.empty()) return;
  throw Error(ExitCode::usage,
              concat(wrong, " is for ",
                     is_multi_label ? "classes, but the labels are findings" : "findings, but the labels are classes"),
              "leave it out");
}

struct Losses {
  bool is_multi_label;
  nn::ClassificationLossOptions options;
  at::Tensor class_weights, positive_weights;
  at::Tensor operator()(const at::Tensor& logits, const at::Tensor& labels, const train::RankSum& total) const {
    return is_multi_label ? nn::multi_label_loss(logits, labels, positive_weights, total)
                          : nn::multi_class_loss(logits, labels, options.label_smoothing, class_weights, total);
  }
};

struct Scored {
  CasePool pool;
  const float* labels = nullptr;
};

// Of one label over all cases where it is known.
double auroc_of(const std::map<int64_t, Scored>& cases, size_t label, bool is_multi_label) {
  std::vector<double> scores;
  std::vector<uint8_t> truth;
  for (const auto& [number, one] : cases) {
    if (std::isnan(one.labels[label])) continue;
    scores.push_back(one.pool.result(is_multi_label)[label]);
    truth.push_back(one.labels[label] == 1.0F);
  }
  return stats::auroc(scores, truth);
}

// Classes: the share of cases whose largest score is their class.
// Findings: the share of known entries on the right side of 0.5.
double accuracy_of(const std::map<int64_t, Scored>& cases, size_t num_labels, bool is_multi_label) {
  int64_t right = 0, known = 0;
  for (const auto& [number, one] : cases) {
    const std::vector<double> scores = one.pool.result(is_multi_label);
    if (is_multi_label) {
      for (size_t i = 0; i < num_labels; ++i) {
        if (std::isnan(one.labels[i])) continue;
        right += (scores[i] >= 0.5) == (one.labels[i] == 1.0F) ? 1 : 0;
        ++known;
      }
    } else if (!std::isnan(one.labels[0])) {
      right += one.labels[std::max_element(scores.begin(), scores.end()) - scores.begin()] == 1.0F ? 1 : 0;
      ++known;
    }
  }
  return known > 0 ? static_cast<double>(right) / static_cast<double>(known) : std::nan("");
}

// Images with truth and prediction in words.
io::Image captioned_panel(const at::Tensor& image, const std::vector<std::string>& captions,
                          const std::vector<double>& mean, const std::vector<double>& std) {
  io::Image panel = image_panel(image, mean, std);
  const int64_t cell_width = panel.width / std::min<int64_t>(4, image.size(0)), rows = (image.size(0) + 3) / 4,
                cell_height = panel.height / rows;
  for (size_t i = 0; i < captions.size(); ++i) {
    const auto place = static_cast<int64_t>(i);
    io::write_caption(panel, place % 4 * cell_width + 6, (place / 4 + 1) * cell_height - 8, captions[i]);
  }
  return panel;
}

std::string label_text(const std::vector<std::string>& names, const std::function<double(size_t)>& value,
                       bool is_multi_label) {
  std::vector<std::string> positive;
  size_t best = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    if (value(i) > value(best)) best = i;
    if (value(i) >= 0.5) positive.push_back(names[i]);
  }
  if (!is_multi_label) return names[best];
  return positive.empty() ? "none" : join(positive, "+");
}

class ClassifyTask : public train::Task {
 public:
  ClassifyTask(nn::SwinClassifier model, const Datasets& datasets, const ClassifyConfig& config,
               const train::Plan& plan, Losses losses, std::string best_metric, train::World& world)
      : model_(std::move(model)),
        datasets_(datasets),
        config_(config),
        plan_(plan),
        losses_(std::move(losses)),
        best_metric_(std::move(best_metric)),
        world_(world),
        shown_(panel_batch(shown_from(), config.data.augment, seed(), plan.device)) {}
  torch::nn::Module& module() override { return *model_; }

  std::vector<at::Tensor> draws(const data::Batch& batch) override {
    return {drop_path_draws(batch, model_->num_draws())};
  }

  at::Tensor loss(const data::Batch& batch, const train::RankSum& total) override {
    return losses_(model_->forward(batch.image, batch.draws[0]), batch.labels, total);
  }

  bool can_validate() const override { return datasets_.val != nullptr; }
  bool lower_is_better() const override { return best_metric_ == "loss"; }

  train::Metrics validate() override {
    // by sample; the last column is 1 where there are any
    at::Tensor scores = at::zeros({datasets_.val->size(), num_labels() + 1}, at::kDouble);
    double loss_sum = 0, count = 0;
    for_each_validation_batch(datasets_.val, config_.data, plan_, seed(), [&](const data::Batch& batch) {
      at::Tensor logits;
      {
        const train::Autocast autocast(plan_.device.type(), plan_.precision);
        logits = model_->forward(batch.image).to(at::kFloat);
      }
      at::Tensor known = (~batch.labels.isnan()).any(1).sum().to(at::kDouble) * (batch.counts ? 1 : 0);
      world_.sum(known);
      loss_sum += losses_(logits, batch.labels, world_.total(batch.counts)).item<double>() * known.item<double>();
      count += known.item<double>();
      const at::Tensor p = probabilities(logits).to(at::kCPU, at::kDouble);
      for (int64_t i = 0; batch.counts && i < p.size(0); ++i) {
        const at::Tensor row = scores[batch.indices[static_cast<size_t>(i)]];
        row.slice(0, 0, num_labels()).copy_(p[i]);
        row[num_labels()] = 1.0;
      }
    });
    world_.sum(scores);  // each sample is on one rank: nothing is rounded
    train::Metrics metrics = metrics_of(pooled(scores), loss_sum / std::max(1.0, count));
    const auto best =
        std::find_if(metrics.begin(), metrics.end(), [&](const auto& metric) { return metric.first == best_metric_; });
    if (count == 0)
      throw Error(ExitCode::data, "no validation image that has a label can be read",
                  "see quarantine.jsonl, and correct data.val or data.val_fraction");
    if (best == metrics.end() || std::isnan(best->second))
      throw Error(
          ExitCode::data,
          concat(best_metric_, " can't be measured: no validation image that can be read has the label, or none ",
                 "lacks it"),
          "see quarantine.jsonl, and correct data.val or data.val_fraction");
    std::rotate(metrics.begin(), best, best + 1);  // the first decides
    return metrics;
  }

  train::Panel panel() override {
    const at::Tensor p = probabilities(model_->forward(shown_.image).to(at::kFloat)).cpu();
    const bool is_multi_label = losses_.is_multi_label;
    std::vector<std::string> captions;
    for (size_t i = 0; i < shown_.indices.size(); ++i) {
      const float* truth = shown_from().labels(shown_.indices[i]);
      const at::Tensor row = p[static_cast<int64_t>(i)];
      const auto true_value = [&](size_t k) { return truth[k]; };
      const auto predicted = [&](size_t k) { return row[static_cast<int64_t>(k)].item<double>(); };
      const std::string is = std::isnan(truth[0]) ? "?" : label_text(names(), true_value, is_multi_label);
      captions.push_back(concat(is, " > ", label_text(names(), predicted, is_multi_label)));
    }
    return {"prediction",
            captioned_panel(shown_.image.cpu(), captions, config_.data.image.mean, config_.data.image.std)};
  }

 private:
  uint64_t seed() const { return static_cast<uint64_t>(config_.run.seed); }
  const std::vector<std::string>& names() const { return datasets_.splits.label_names; }
  int64_t num_labels() const { return std::ssize(names()); }
  const data::Dataset& shown_from() const { return datasets_.val ? *datasets_.val : *datasets_.train; }
  at::Tensor probabilities(const at::Tensor& logits) const {
    return losses_.is_multi_label ? at::sigmoid(logits) : at::softmax(logits, 1);
  }

  std::map<int64_t, Scored> pooled(const at::Tensor& scores) const {
    std::map<int64_t, Scored> cases;
    for (int64_t index = 0; index < scores.size(0); ++index) {
      const double* row = scores.const_data_ptr<double>() + index * (num_labels() + 1);
      if (row[num_labels()] == 0.0) continue;
      Scored& scored = cases[datasets_.val->case_number(index)];
      scored.pool.add({row, row + num_labels()}, config_.data.pool);
      scored.labels = datasets_.val->labels(index);
    }
    return cases;
  }

  // AUROC (the mean first, then of each label), loss and accuracy.
  train::Metrics metrics_of(const std::map<int64_t, Scored>& cases, double loss) const {
    train::Metrics metrics;
    double sum = 0;
    int64_t measured = 0;
    // Of two classes that exclude each other both curves have the same area.
    const bool is_binary = !losses_.is_multi_label && names().size() == 2;
    for (size_t i = is_binary ? 1 : 0; i < names().size(); ++i) {
      const double area = auroc_of(cases, i, losses_.is_multi_label);
      if (std::isnan(area)) continue;
      if (!is_binary) metrics.emplace_back("AUROC/" + names()[i], area);
      sum += area;
      ++measured;
    }
    if (measured > 0) metrics.insert(metrics.begin(), {"AUROC", sum / static_cast<double>(measured)});
    metrics.emplace_back("loss", loss);
    metrics.emplace_back("accuracy", accuracy_of(cases, names().size(), losses_.is_multi_label));
    return metrics;
  }

  nn::SwinClassifier model_;
  const Datasets& datasets_;
  const ClassifyConfig& config_;
  const train::Plan& plan_;
  Losses losses_;
  std::string best_metric_;
  train::World& world_;
  data::Batch shown_;
};

nn::SwinClassifier make_model(const ClassifyConfig& config, const Datasets& datasets, const Session& session) {
  torch::manual_seed(derive_seed(session.seed(), Stream::init));
  nn::SwinClassifier model(config.model.net);
  prepare_module(*model, config.model.net.swin, config.model, /*is_segmenter=*/false, is_colour(datasets), session,
                 as_trained(config.data.image, datasets), datasets.volume_rules);
  return model;
}

Losses make_losses(const nn::ClassificationLossOptions& options, const SourceSplits& splits, at::Device device) {
  const int64_t count = std::ssize(splits.label_names);
  return {splits.is_multi_label, options, weights_tensor(options.class_weights, count, "loss.class_weights", device),
          weights_tensor(options.positive_weights, count, "loss.positive_weights", device)};
}

// train.best_metric, or the loss where validation can't measure that.
std::string best_metric_of(const ClassifyConfig& config, const Datasets& datasets, const Measurable& can_measure) {
  const std::string& wanted = config.train.best_metric;
  const bool is_absent = (wanted == "AUROC" && !can_measure.auroc) || (wanted == "accuracy" && !can_measure.accuracy);
  if (!datasets.val || !is_absent) return wanted;
  log::warning("no " + wanted + " can be measured in validation: the loss decides which weights are the best");
  return "loss";
}

weights::Metadata metadata_of(const ClassifyConfig& config, const Datasets& datasets) {
  weights::Metadata metadata{{"model", config.model.name}, {"model_options", model_options_json(config.model.net)}};
  ModelCard card = model_card(config.data, datasets);
  card.input = input_statistics(*datasets.train, config.data.augment);
  card.class_names = datasets.splits.label_names;
  card.is_multi_label = datasets.splits.is_multi_label;
  card.pool = config.data.pool;
  add_card(card, metadata);
  return metadata;
}

}  // namespace

ExitCode finetune_classification(ClassifyConfig config, const TrainArguments& arguments, train::World& world) {
  nn::SwinOptions& swin = config.model.net.swin;
  nn::validate(swin, /*size_multiple=*/1);
  config.data.image.image_size = swin.image_size;
  config.data.image.in_channels = swin.in_channels;
  const Session session(config.run, arguments, "finetune-cls", world);
  require_own_model(session, config.model.name);
  log::info(text_of_recipe(config));
  warn_of_unused_keys(config);
  const Datasets datasets = load_datasets(config.data, session, {.num_labels = data::Targets::kAllLabels});
  tell_images(datasets, config.data.image);
  config.data.image.in_channels = datasets.in_channels;
  swin.in_channels = datasets.in_channels;
  const std::vector<std::string>& names = datasets.splits.label_names;
  const bool is_multi_label = datasets.splits.is_multi_label;
  require_loss_of_task(config.loss, is_multi_label);
  const Measurable can_measure = check_labels(datasets);
  const train::Plan plan =
      train::make_plan(config.train, config.optim, datasets.train->size(), session.device, world, arguments.dry_run);

  config.model.net.num_classes = std::ssize(names);
  nn::SwinClassifier model = make_model(config, datasets, session);
  Losses losses = make_losses(config.loss, datasets.splits, session.device);
  std::string best_metric = best_metric_of(config, datasets, can_measure);
  ClassifyTask task(std::move(model), datasets, config, plan, std::move(losses), std::move(best_metric), world);
  const auto optimizer = train::make_optimizer(task.module(), config.optim, lr_scale(swin, config.optim));
  weights::Metadata metadata = metadata_of(config, datasets);
  DataCard card = card_of(datasets);
  card.label_names = names;
  card.is_multi_label = is_multi_label;
  tell_seen_before(session, config.model.init, config.data, datasets, card);
  const ExitCode code = train_to_end(
      session, {.data = config.data,
                .datasets = datasets,
                .plan = plan,
                .task = task,
                .optimizer = *optimizer,
                .loader = training_loader(config.data, plan, session.seed()),
                .metadata = std::move(metadata),
                .model_text = concat(config.model.name, " with ", names.size(),
                                     is_multi_label ? " findings (" : " classes (", join(names, ", "), ")"),
                .config_yaml = config_text(config),
                .init = config.model.init,
                .card = std::move(card),
                .report_changes = [&](const std::string& old_yaml) { report_changed_config(old_yaml, config); }});
  return code == ExitCode::ok ? predict_test(session, config.data, datasets) : code;
}

}  // namespace vmae::run
