// Segmentation is learnt from slices; Dice is measured per case.
#include <ATen/ops/argmax.h>

#include <cmath>
#include <map>

#include "segment_tasks.h"
#include "vmae/core/log.h"
#include "vmae/nn/losses.h"
#include "vmae/pictures/panel.h"
#include "vmae/tasks/finetune.h"
#include "vmae/tasks/validation.h"

namespace vmae::run {

namespace {

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
  }
  return with_mean("Dice", std::move(metrics));
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
  SegmentTask(nn::SegmenterModule segmenter, const SegmentParts& parts, at::Tensor weights)
      : segmenter_(std::move(segmenter)),
        datasets_(parts.datasets),
        config_(parts.config),
        plan_(parts.plan),
        classes_(parts.classes),
        weights_(std::move(weights)),
        world_(parts.world),
        shown_(panel_batch(datasets_.val ? *datasets_.val : *datasets_.train, config_.data.augment, seed(),
                           plan_.device, classes_.shown)) {}
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

nn::SegmenterModule make_model(const SegmentConfig& config, const Datasets& datasets, const Session& session) {
  torch::manual_seed(derive_seed(session.seed(), Stream::init));
  nn::SegmenterModule segmenter = nn::make_segmenter(config.model.name, config.model.net);
  const data::ImageOptions image = as_trained(config.data.image, datasets);
  const bool has_colour = is_colour(datasets);  // and says where colours are lost, whatever the network
  if (config.model.name == "transunet")
    prepare_transunet(*segmenter.module, config.model.net, config.model, session, image, datasets.volume_rules);
  else
    prepare_module(*segmenter.module, config.model.net.swin, config.model, /*is_segmenter=*/true, has_colour, session,
                   image, datasets.volume_rules);
  return segmenter;
}

}  // namespace

std::unique_ptr<train::Task> segment_task(const SegmentParts& parts, const Session& session) {
  return std::make_unique<SegmentTask>(make_model(parts.config, parts.datasets, session), parts,
                                       class_weights(parts.config, parts.classes, session.device));
}

}  // namespace vmae::run
