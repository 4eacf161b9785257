// Contrastive learning (SimCLR): two views of an image are to be more alike than those of all other images of the
// batch, on whichever rank these are. Every rank has the features of all, as far as its own gradient goes, and
// computes head and loss of the whole batch: so the statistics of batch norm are those of all ranks, and the
// sum of the ranks' gradients is that of one process.
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <utility>

#include "pretrain_tasks.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/core/parallel.h"
#include "vmae/core/spread.h"
#include "vmae/data/draws.h"
#include "vmae/data/views.h"
#include "vmae/nn/simclr.h"
#include "vmae/pictures/panel.h"
#include "vmae/ranks/rows.h"
#include "vmae/tasks/neighbours.h"
#include "vmae/tasks/training.h"
#include "vmae/tasks/validation.h"
#include "vmae/train/precision.h"

namespace vmae::run {

namespace {

constexpr int64_t kLowPart = int64_t{1} << 20;  // the index of an image is kLowPart * high + low

// (n, 3) on the CPU: which image each sample is, in two parts that float32 holds exactly, and whether it is the one
// that was wanted.
at::Tensor marks_of(const data::Batch& batch) {
  at::Tensor marks = at::empty({std::ssize(batch.indices), 3}, at::kFloat);
  float* mark = marks.mutable_data_ptr<float>();
  for (size_t i = 0; i < batch.indices.size(); ++i) {
    const int64_t high = batch.indices[i] / kLowPart, low = batch.indices[i] % kLowPart;
    *mark++ = static_cast<float>(high);
    *mark++ = static_cast<float>(low);
    *mark++ = batch.indices[i] == batch.wanted[i] ? 1.0F : 0.0F;
  }
  return marks;
}

// Samples of all ranks, in the order of one process.
struct Rows {
  at::Tensor features;   // (N, 2, dim), of both views
  at::Tensor images;     // (N): equal where the image is
  at::Tensor is_wanted;  // (N) bool
};

// Both views of samples projected, in two tensors.
using Pair = std::pair<at::Tensor, at::Tensor>;

class ContrastiveTask : public train::Task {
 public:
  ContrastiveTask(nn::Simclr model, const PretrainParts& parts)
      : model_(std::move(model)),
        parts_(parts),
        shown_(panel_batch(parts.shown_from(), parts.config.data.augment, parts.seed(), at::kCPU)),
        shown_views_(panel_batch(parts.shown_from(), parts.config.data.augment, parts.seed(), at::kCPU, {},
                                 /*has_two_views=*/true)),
        mean_(per_channel(parts.config.data.image.mean)),
        std_(per_channel(parts.config.data.image.std)) {}
  torch::nn::Module& module() override { return *model_; }

  // Each row has the numbers of one view, then those of the other.
  std::vector<at::Tensor> draws(const data::Batch& batch) override {
    return {view_draws(batch), drop_path_draws(batch, 2 * model_->num_draws()), marks_of(batch)};
  }

  at::Tensor loss(const data::Batch& batch, const train::RankSum& total) override {
    const Rows rows =
        rows_of_all(features_of_views(batch, batch.draws[0], batch.draws[1]), batch.draws[2], batch.num_samples, total);
    const auto [a, b] = projections(rows.features);
    return nn::nt_xent(a, b, model_->options().contrast.temperature, rows.images);
  }

  bool can_validate() const override { return parts_.datasets.val != nullptr && parts_.datasets.val->size() > 1; }

  // Loss and accuracy of batches as in training, of views that are the same every time; and, where there are labels,
  // how well the nearest training images tell them.
  train::Metrics validate() override {
    double loss = 0, found = 0, count = 0;
    for_each_batch_of_views(
        parts_.datasets.val, parts_.config.data, parts_.plan, parts_.seed(), [&](const data::Batch& batch) {
          const at::Device device = batch.image.device();
          const Rows rows =
              rows_of_all(features_of_views(batch, view_draws(batch).to(device), {}), marks_of(batch).to(device),
                          batch.num_samples, parts_.world.total(batch.counts));
          const at::Tensor features = rows.features.index({rows.is_wanted});  // the same on every rank
          if (features.size(0) < 2) return;
          const auto [a, b] = projections(features);
          const auto n = static_cast<double>(features.size(0));
          loss += nn::nt_xent(a, b, model_->options().contrast.temperature).item<double>() * n;
          found += nn::num_found(a, b).item<double>() / 2.0;
          count += n;
        });
    if (count == 0)
      throw Error(ExitCode::data, "contrastive validation needs two validation images that can be read in a batch",
                  "see quarantine.jsonl; raise data.val_fraction or train.batch_size, or set data.val_fraction=0");
    train::Metrics metrics{{"loss", loss / count}, {"accuracy", found / count}};
    if (parts_.datasets.val->targets().num_labels == 0) return metrics;
    const double area =
        neighbour_auroc(labelled_features(*parts_.datasets.val), labelled_features(*parts_.datasets.train));
    if (!std::isnan(area)) metrics.emplace_back("kNN_AUROC", area);
    return metrics;
  }

  train::Panel panel() override {
    const at::Tensor views = changed_views(shown_views_.image, view_draws(shown_views_));
    const auto pair = views.chunk(2);
    return {"views", views_panel(shown_.image, pair[0], pair[1])};
  }

 private:
  at::Tensor per_channel(const std::vector<double>& values) const {
    return at::tensor(values, at::kFloat).view({1, -1, 1, 1}).to(parts_.plan.device);
  }

  static at::Tensor view_draws(const data::Batch& batch) {
    return data::uniform_draws(batch.seeds, Stream::view_changes, 2 * data::kViewDraws);
  }
  // (n, 2 k) -> (2 n, k)
  static at::Tensor one_below_the_other(const at::Tensor& draws) { return at::cat(draws.chunk(2, 1)); }

  // image (2 n, C, H, W), draws (n, 2 kViewDraws)
  at::Tensor changed_views(const at::Tensor& image, const at::Tensor& draws) const {
    const data::ViewOptions& options = parts_.config.views;
    return data::changed(image, data::view_changes(one_below_the_other(draws), options), options);
  }

  // Of images (n, C, H, W) with values in [0, 1] -> (n, dim) float32
  at::Tensor features_of(const at::Tensor& image, const at::Tensor& drop_path = {}) {
    const train::Autocast autocast(parts_.plan.device.type(), parts_.plan.precision);
    return model_->features((image - mean_) / std_, drop_path).to(at::kFloat);
  }
  // (n, 2, dim); without drop path: evaluation.
  at::Tensor features_of_views(const data::Batch& batch, const at::Tensor& draws, const at::Tensor& drop_path) {
    const at::Tensor features = features_of(changed_views(batch.image, draws),
                                            drop_path.defined() ? one_below_the_other(drop_path) : at::Tensor());
    return at::stack(features.chunk(2), 1);
  }

  // features (n, 2, dim) and marks (n, 3) of this rank's samples; empty `total`: of all
  Rows rows_of_all(const at::Tensor& features, const at::Tensor& marks, int64_t num_samples,
                   const train::RankSum& total) const {
    at::Tensor rows = at::cat({features.flatten(1), marks}, 1);
    if (total) rows = train::rows_of_all_ranks(rows, num_samples, parts_.plan.rank, parts_.plan.num_ranks, total);
    const int64_t dim = features.size(2);
    const at::Tensor all_marks = rows.slice(1, 2 * dim).detach().to(at::kLong);
    return {rows.slice(1, 0, 2 * dim).view({-1, 2, dim}), all_marks.select(1, 0) * kLowPart + all_marks.select(1, 1),
            all_marks.select(1, 2) == 1};
  }

  // rows (N, 2, dim) of all ranks
  Pair projections(const at::Tensor& rows) {
    const double share = 1.0 / static_cast<double>(parts_.plan.num_ranks);
    const at::Tensor projected = model_->project(at::cat({rows.select(1, 0), rows.select(1, 1)}), share);
    return {projected.slice(0, 0, rows.size(0)), projected.slice(0, rows.size(0))};
  }

  // Of some images, evenly spread over the dataset, as they are; those that can't be read are left out. Every rank
  // computes its part.
  LabelledFeatures labelled_features(const data::Dataset& dataset) {
    constexpr int64_t kMostImages = 4096;
    const std::vector<int64_t> places = evenly_spread(dataset.size(), kMostImages);
    const int64_t n = std::ssize(places), num_labels = dataset.targets().num_labels, ranks = parts_.plan.num_ranks,
                  chunk = parts_.plan.micro_batch;
    at::Tensor features = at::zeros({n, model_->swin().embed_dim << 3}, at::kFloat),
               is_there = at::zeros({n}, at::kFloat);
    for (int64_t first = parts_.plan.rank * chunk; first < n; first += ranks * chunk) {
      const int64_t end = std::min(n, first + chunk);
      std::vector<int64_t> wanted(places.begin() + first, places.begin() + end);
      const auto [image, readable] = images_of(dataset, wanted);
      features.slice(0, first, end).copy_(features_of(image.to(parts_.plan.device)));
      is_there.slice(0, first, end).copy_(readable);
    }
    features *= is_there.unsqueeze(1);
    parts_.world.sum(features);
    parts_.world.sum(is_there);
    at::Tensor labels = at::empty({n, num_labels}, at::kFloat);
    for (int64_t i = 0; i < n; ++i)
      std::copy_n(dataset.labels(places[static_cast<size_t>(i)]), num_labels, labels[i].mutable_data_ptr<float>());
    const at::Tensor kept = is_there > 0;
    return {features.index({kept}), labels.index({kept})};
  }

  // (n, C, H, W), and (n): 0 where another image stands in for one that can't be read
  std::pair<at::Tensor, at::Tensor> images_of(const data::Dataset& dataset, const std::vector<int64_t>& wanted) const {
    const data::AugmentOptions evaluation = data::evaluation_augmentation(parts_.config.data.augment);
    const data::ImageOptions& options = dataset.image_options();
    const int64_t n = std::ssize(wanted), pixels = options.in_channels * options.image_size[0] * options.image_size[1];
    at::Tensor image = at::empty({n, options.in_channels, options.image_size[0], options.image_size[1]}, at::kFloat),
               readable = at::zeros({n}, at::kFloat);
    float *to = image.mutable_data_ptr<float>(), *flags = readable.mutable_data_ptr<float>();
    parallel_for(n, static_cast<int>(parts_.config.data.workers), [&](int64_t i) {
      const int64_t index = wanted[static_cast<size_t>(i)];
      const data::Loaded loaded =
          dataset.load_readable_into(index, parts_.seed(), /*epoch=*/0, &evaluation, {to + i * pixels});
      flags[i] = loaded.index == index ? 1.0F : 0.0F;
    });
    return {image, readable};
  }

  nn::Simclr model_;
  PretrainParts parts_;
  data::Batch shown_, shown_views_;
  at::Tensor mean_, std_;
};

}  // namespace

void check_contrast(const PretrainConfig& config, int64_t num_ranks) {
  const train::TrainOptions& train = config.train;
  if (config.data.image.intensity == "zscore")
    throw Error(ExitCode::usage, "data.intensity = zscore has no largest value, but views are made of values in [0, 1]",
                "set data.intensity to auto, percentile, window, minmax or stored");
  data::check(config.views);
  if (train.batch_size == 1)
    throw Error(ExitCode::usage, "train.batch_size = 1: model.name = simclr compares the images of a batch",
                "give as many as the memory takes");
  if (train.micro_batch > 0 && train.micro_batch * num_ranks < train.batch_size)
    throw Error(
        ExitCode::usage,
        concat("train.micro_batch = ", train.micro_batch, ": model.name = simclr compares every image with all ",
               "others of a batch of ", train.batch_size, ", which can't be taken in parts"),
        "leave train.micro_batch out, and fit the memory by more ranks or a smaller train.batch_size");
}

int64_t contrastive_epoch(const data::Dataset& train, int64_t batch_size) {
  if (train.size() < 2)
    throw Error(ExitCode::data, "there is one training image, and contrastive learning compares images",
                "give more, or lower data.val_fraction");
  return train.size() < batch_size ? train.size() : train.size() / batch_size * batch_size;
}

std::unique_ptr<train::Task> contrastive_task(const PretrainParts& parts) {
  if (parts.datasets.val && parts.datasets.val->size() == 1)
    log::warning("one validation image has no other to be told from: nothing is validated; raise data.val_fraction");
  nn::Simclr model(parts.config.model.simclr());
  begin_with(*model, parts.config.model, parts.plan.device);
  return std::make_unique<ContrastiveTask>(std::move(model), parts);
}

}  // namespace vmae::run
