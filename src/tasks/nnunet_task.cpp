// nnU-Net learns: its loss at every resolution, and in validation the Dice over all pixels of patches that are drawn.
#include <ATen/TensorOperators.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include "nnunet.h"
#include "vmae/core/log.h"
#include "vmae/core/random.h"
#include "vmae/nn/nnunet_loss.h"
#include "vmae/pictures/panel.h"
#include "vmae/predict/find_weights.h"
#include "vmae/tasks/validation.h"
#include "vmae/weights/nnunet.h"
#include "vmae/weights/weights.h"

namespace vmae::run {

namespace {

nn::NnUnetLossOptions loss_options(const NnUnetPlan& plan) {
  nn::NnUnetLossOptions options{.batch_dice = plan.plans.flat.batch_dice};
  if (plan.labels.has_regions()) {
    for (const nnunet::LabelEntry& region : plan.labels.foreground) options.regions.push_back(region.values);
  }
  if (plan.labels.has_ignore) options.ignore = nnunet::kIgnoredLabel;
  return options;
}

class NnUnetTask : public train::Task {
 public:
  NnUnetTask(nn::NnUnet net, const NnUnetPlan& plan, const SegmentParts& parts)
      : net_(std::move(net)),
        plan_(plan),
        parts_(parts),
        loss_(loss_options(plan)),
        shown_(panel_batch(parts.datasets.val ? *parts.datasets.val : *parts.datasets.train, parts.config.data.augment,
                           parts.seed(), parts.plan.device, last_of_batches())) {}

  torch::nn::Module& module() override { return *net_; }

  std::vector<at::Tensor> draws(const data::Batch& /*batch*/) override { return {}; }

  at::Tensor loss(const data::Batch& batch, const train::RankSum& total) override {
    return nn::nnunet_loss(net_->levels(batch.image), batch.mask, loss_, total);
  }

  bool can_validate() const override { return parts_.datasets.val != nullptr; }
  bool lower_is_better() const override { return false; }
  // The authors': the last weights are the result.
  bool keeps_best() const override { return false; }

  // The authors' "pseudo Dice". The patches are the same each time.
  train::Metrics validate() override {
    const int64_t num_regions = std::ssize(plan_.labels.foreground), batch_size = parts_.plan.train.batch_size;
    at::Tensor counts = at::zeros({3, num_regions}, at::kDouble);  // both, predicted, true: pixels
    double loss_sum = 0, num_samples = 0;
    const auto add = [&](const data::Batch& batch) {
      std::vector<at::Tensor> levels;
      {
        const train::Autocast autocast(parts_.plan.device.type(), parts_.plan.precision);
        levels = net_->levels(batch.image);
      }
      at::Tensor samples = at::full({}, batch.counts ? batch.image.size(0) : 0, at::kDouble);
      parts_.world.sum(samples);
      const at::Tensor loss = nn::nnunet_loss(levels, batch.mask, loss_, parts_.world.total(batch.counts));
      loss_sum += loss.item<double>() * samples.item<double>();
      num_samples += samples.item<double>();
      if (batch.counts) counts += overlaps(levels.front(), batch.mask);
    };
    for_each_drawn_batch(parts_.datasets.val, parts_.config.data, parts_.plan, parts_.seed(),
                         kValidationBatches * batch_size, add);
    parts_.world.sum(counts);
    return metrics_of(counts, loss_sum / num_samples);
  }

  train::Panel panel() override {
    constexpr double kShownDeviations = 3;  // from black to white, to both sides
    const at::Tensor logits = net_->forward(shown_.image);
    at::Tensor predicted = at::zeros_like(shown_.mask);
    const std::vector<at::Tensor> heads = predicted_heads(logits);
    for (size_t k = 0; k < heads.size(); ++k) {
      const std::vector<int64_t>& order = plan_.labels.region_order;
      const int64_t value = order.empty() ? static_cast<int64_t>(k) + 1 : order[k];
      predicted.masked_fill_(heads[k].cpu(), value);
    }
    return {"overlay", segmentation_panel(shown_.image.cpu(), shown_.mask, predicted, parts_.classes.names, {0.5},
                                          {0.5 / kShownDeviations})};
  }

 private:
  static constexpr int64_t kValidationBatches = 50;  // num_val_iterations_per_epoch

  // Places in an epoch whose patches have foreground for sure.
  std::vector<int64_t> last_of_batches() const {
    constexpr int64_t kMostShown = 8;
    const int64_t batch_size = parts_.plan.train.batch_size;
    std::vector<int64_t> places;
    for (int64_t i = 1; i <= kMostShown; ++i) places.push_back(i * batch_size - 1);
    return places;
  }

  // Of each class or region, (B, H, W) bool.
  std::vector<at::Tensor> predicted_heads(const at::Tensor& logits) const {
    std::vector<at::Tensor> heads;
    const at::Tensor labels = plan_.labels.has_regions() ? at::Tensor() : at::argmax(logits, 1);
    for (int64_t k = 0; k < std::ssize(plan_.labels.foreground); ++k)
      heads.push_back(labels.defined() ? labels == k + 1 : logits.select(1, k) > 0);
    return heads;
  }

  // (3, regions) on the CPU
  at::Tensor overlaps(const at::Tensor& logits, const at::Tensor& mask) const {
    const at::Tensor is_known = mask != nnunet::kIgnoredLabel;
    const std::vector<at::Tensor> heads = predicted_heads(logits);
    std::vector<at::Tensor> columns;
    for (size_t k = 0; k < heads.size(); ++k) {
      at::Tensor is_true = at::zeros_like(is_known);
      for (const int64_t value : plan_.labels.foreground[k].values) is_true = is_true | (mask == value);
      const at::Tensor is_predicted = heads[k] & is_known;
      columns.push_back(at::stack({(is_predicted & is_true).sum(), is_predicted.sum(), is_true.sum()}));
    }
    return at::stack(columns, 1).to(at::kDouble).cpu();
  }

  train::Metrics metrics_of(const at::Tensor& counts, double loss) const {
    const auto values = counts.accessor<double, 2>();
    train::Metrics metrics;
    for (int64_t k = 0; k < counts.size(1); ++k) {
      const double pixels = values[1][k] + values[2][k];
      if (pixels == 0) continue;
      metrics.emplace_back("Dice/" + plan_.labels.foreground[static_cast<size_t>(k)].name, 2 * values[0][k] / pixels);
    }
    metrics = with_mean("Dice", std::move(metrics));
    metrics.emplace_back("loss", loss);
    return metrics;
  }

  nn::NnUnet net_;
  const NnUnetPlan& plan_;
  SegmentParts parts_;
  nn::NnUnetLossOptions loss_;
  data::Batch shown_;
};

bool is_head(const std::string& key) { return key.starts_with("decoder.seg_layers."); }

// Heads of other classes stay as they are, as where nnU-Net loads pretrained weights.
void begin_with_weights(nn::NnUnet& net, const SegmentModelOptions& model) {
  const auto path = find_weights(model.init);
  weights::TensorFile file = weights::read_weights(path);
  weights::require_finite(file, path);
  file.tensors = weights::without_copies(file.tensors, path);
  const std::string& head = nn::find_segmenter(model.name)->head;
  const at::Tensor* theirs = file.find(head);
  const bool has_heads = theirs != nullptr && theirs->size(0) == model.net.num_classes;
  if (!has_heads) std::erase_if(file.tensors, [](const auto& item) { return is_head(item.first); });
  weights::LoadReport report = weights::load_into(*net, file);
  if (!has_heads) std::erase_if(report.fresh, is_head);
  weights::require_complete(report, path);
  log::info(concat("model.init = ", path.string(), ": ", report.loaded.size(), " loaded",
                   has_heads ? "" : ", without the heads, which are of other classes"));
}

}  // namespace

nn::NnUnet begin_nnunet(const SegmentConfig& config, const Session& session) {
  torch::manual_seed(derive_seed(session.seed(), Stream::init));
  nn::NnUnet net(config.model.net);
  if (!config.model.init.empty() && !session.resumes()) begin_with_weights(net, config.model);
  const bool has_lower_heads = config.model.net.nnunet.features_per_stage.size() > 2;
  for (auto& item : net->named_parameters()) {  // of no weight in the loss: nnU-Net's optimizer passes over it, too
    if (has_lower_heads && item.key().starts_with("decoder.seg_layers.0.")) item.value().set_requires_grad(false);
  }
  net->to(session.device);
  return net;
}

std::unique_ptr<train::Task> nnunet_task(nn::NnUnet net, const NnUnetPlan& plan, const SegmentParts& parts) {
  return std::make_unique<NnUnetTask>(std::move(net), plan, parts);
}

}  // namespace vmae::run
