// Masked autoencoding: the loss is how well the hidden parts of an image are restored.
#include "pretrain_tasks.h"
#include "vmae/data/draws.h"
#include "vmae/nn/mae.h"
#include "vmae/pictures/panel.h"
#include "vmae/tasks/training.h"
#include "vmae/tasks/validation.h"
#include "vmae/train/precision.h"

namespace vmae::run {

namespace {

class ReconstructionTask : public train::Task {
 public:
  ReconstructionTask(nn::Mae model, const PretrainParts& parts)
      : model_(std::move(model)),
        parts_(parts),
        shown_(panel_batch(parts.shown_from(), parts.config.data.augment, parts.seed(), parts.plan.device)) {}
  torch::nn::Module& module() override { return *model_; }

  std::vector<at::Tensor> draws(const data::Batch& batch) override {
    return {data::uniform_draws(batch.seeds, Stream::mask, model_->num_units()),
            drop_path_draws(batch, 2 * model_->num_blocks())};
  }

  // Of the mean over the samples of all ranks.
  at::Tensor loss(const data::Batch& batch, const train::RankSum& /*total*/) override {
    const at::Tensor own = model_->forward(batch.image, batch.draws[0], batch.draws[1]).loss;
    const int64_t samples = batch.counts ? batch.image.size(0) : 0;
    return own * (static_cast<double>(samples) / static_cast<double>(batch.num_samples));
  }
  bool loss_is_own_part() const override { return true; }

  bool can_validate() const override { return parts_.datasets.val != nullptr; }

  // Mean loss over all validation images.
  train::Metrics validate() override {
    double sum = 0, count = 0;
    for_each_validation_batch(
        parts_.datasets.val, parts_.config.data, parts_.plan, parts_.seed(), [&](const data::Batch& batch) {
          if (!batch.counts) return;
          const train::Autocast autocast(parts_.plan.device.type(), parts_.plan.precision);
          sum += reconstruct(batch).loss.item<double>() * static_cast<double>(batch.image.size(0));
          count += static_cast<double>(batch.image.size(0));
        });
    at::Tensor sums = at::tensor({sum, count}, at::kDouble);
    parts_.world.sum(sums);
    return {{"loss", sums[0].item<double>() / sums[1].item<double>()}};
  }

  train::Panel panel() override {
    const nn::MaeOutput output = reconstruct(shown_);
    const nn::MaeOutput on_cpu{output.loss, output.prediction.cpu(), output.hidden.cpu()};
    const data::ImageOptions& image = parts_.config.data.image;
    return {"reconstruction",
            reconstruction_panel(shown_.image.cpu(), on_cpu, parts_.config.model.mae, image.mean, image.std)};
  }

 private:
  // With each sample's own mask, the same every time.
  nn::MaeOutput reconstruct(const data::Batch& batch) {
    return model_->forward(
        batch.image,
        data::uniform_draws(batch.seeds, Stream::validation_mask, model_->num_units()).to(batch.image.device()));
  }

  nn::Mae model_;
  PretrainParts parts_;
  data::Batch shown_;
};

}  // namespace

std::unique_ptr<train::Task> reconstruction_task(const PretrainParts& parts) {
  nn::Mae model(parts.config.model.mae);
  begin_with(*model, parts.config.model, parts.plan.device);
  return std::make_unique<ReconstructionTask>(std::move(model), parts);
}

}  // namespace vmae::run
