// Contrastive learning (SimCLR): two views of an image are to be more alike than those of all other images of the
// batch, on whichever rank these are. Every rank has the features of all, as far as its own gradient goes, and
// computes head and loss of the whole batch: so the statistics of batch norm are those of all ranks, and the
// sum of the ranks' gradients is that of one process.
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <map>

#include "pretrain_tasks.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
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

// Both views of samples, in two tensors.
using Pair = std::pair<at::Tensor, at::Tensor>;

class ContrastiveTask : public train::Task {
 public:
  ContrastiveTask(nn::Simclr model, const PretrainParts& parts)
      : model_(std::move(model)),
        parts_(parts),
        shown_(panel_batch(parts.shown_from(), parts.config.data.augment, parts.seed(), parts.plan.device)),
        mean_(per_channel(parts.config.data.image.mean)),
        std_(per_channel(parts.config.data.image.std)) {}
  torch::nn::Module& module() override { return *model_; }

  // Each row has the numbers of one view, then those of the other.
  std::vector<at::Tensor> draws(const data::Batch& batch) override {
    return {data::uniform_draws(batch.seeds, Stream::view_changes, 2 * data::kViewDraws),
            drop_path_draws(batch, 2 * model_->num_draws())};
  }

  at::Tensor loss(const data::Batch& batch, const train::RankSum& total) override {
    const at::Tensor own = features_of_views(batch, batch.draws[0], batch.draws[1]);
    const auto [a, b] = projections(
        total ? train::rows_of_all_ranks(own, batch.num_samples, parts_.plan.rank, parts_.plan.num_ranks, total) : own);
    return nn::nt_xent(a, b, model_->options().contrast.temperature);
  }

  bool can_validate() const override { return parts_.datasets.val != nullptr && parts_.datasets.val->size() > 1; }

  // Loss and accuracy of batches as in training, of views that are the same every time; and, where there are labels,
  // how well the nearest other images tell them.
  train::Metrics validate() override {
    double loss = 0, found = 0, count = 0;
    for_each_batch_of_views(
        parts_.datasets.val, parts_.config.data, parts_.plan, parts_.seed(), [&](const data::Batch& batch) {
          const at::Tensor rows = rows_that_are_there(features_of_views(batch, view_draws(batch), {}), batch);
          if (rows.size(0) < 2) return;
          const auto [a, b] = projections(rows);
          const auto n = static_cast<double>(rows.size(0));
          loss += nn::nt_xent(a, b, model_->options().contrast.temperature).item<double>() * n;
          found += nn::num_found(a, b).item<double>() / 2.0;
          count += n;
        });
    if (count == 0)
      throw Error(ExitCode::data, "contrastive validation needs two validation images that can be read in a batch",
                  "see quarantine.jsonl; raise data.val_fraction or train.batch_size, or set data.val_fraction=0");
    train::Metrics metrics{{"loss", loss / count}, {"accuracy", found / count}};
    if (const double area = neighbours_auroc(); !std::isnan(area)) metrics.emplace_back("kNN_AUROC", area);
    return metrics;
  }

  train::Panel panel() override {
    const data::Dataset& dataset = parts_.shown_from();
    const at::Tensor image = shown_.image.cpu();
    data::Batch views;
    views.seeds = shown_.seeds;
    views.image = at::empty_like(at::cat({image, image}));
    for (size_t i = 0; i < shown_.indices.size(); ++i) {
      const auto place = static_cast<int64_t>(i);
      data::SampleBuffers buffers{views.image[place].mutable_data_ptr<float>()};
      buffers.second_view = views.image[place + image.size(0)].mutable_data_ptr<float>();
      dataset.load_into(shown_.indices[i], parts_.seed(), /*epoch=*/0, &parts_.config.data.augment, buffers);
    }
    const at::Tensor changed = changed_views(views.image, view_draws(views));
    return {"views", views_panel(image, changed.slice(0, 0, image.size(0)), changed.slice(0, image.size(0)))};
  }

 private:
  const data::ViewOptions& options() const { return parts_.config.views; }

  at::Tensor view_draws(const data::Batch& batch) const {
    return data::uniform_draws(batch.seeds, Stream::view_changes, 2 * data::kViewDraws).to(batch.image.device());
  }

  // image (2 n, C, H, W), draws (n, 2 kViewDraws)
  at::Tensor changed_views(const at::Tensor& image, const at::Tensor& draws) const {
    return data::changed(image, data::view_changes(one_below_the_other(draws), options()), options());
  }

  at::Tensor per_channel(const std::vector<double>& values) const {
    return at::tensor(values, at::kFloat).view({1, -1, 1, 1}).to(parts_.plan.device);
  }
  // Values in [0, 1] to those of the network.
  at::Tensor normalised(const at::Tensor& image) const { return (image - mean_) / std_; }

  // (n, 2 k) -> (2 n, k)
  static at::Tensor one_below_the_other(const at::Tensor& draws) { return at::cat(draws.chunk(2, 1)); }

  // (n, 2, dim); without drop path: evaluation.
  at::Tensor features_of_views(const data::Batch& batch, const at::Tensor& draws, const at::Tensor& drop_path) {
    const train::Autocast autocast(parts_.plan.device.type(), parts_.plan.precision);
    const at::Tensor views = normalised(changed_views(batch.image, draws));
    const at::Tensor features =
        model_->features(views, drop_path.defined() ? one_below_the_other(drop_path) : at::Tensor());
    return at::stack(features.to(at::kFloat).chunk(2), 1);
  }

  // rows (N, 2, dim) of all ranks
  Pair projections(const at::Tensor& rows) {
    const double share = 1.0 / static_cast<double>(parts_.plan.num_ranks);
    const at::Tensor projected = model_->project(at::cat({rows.select(1, 0), rows.select(1, 1)}), share);
    return {projected.slice(0, 0, rows.size(0)), projected.slice(0, rows.size(0))};
  }

  // In validation: own (n, 2, dim) without samples that others stand in for, of which the ranks have different numbers.
  at::Tensor rows_that_are_there(const at::Tensor& own, const data::Batch& batch) const {
    const int64_t ranks = parts_.plan.num_ranks;
    if (ranks == 1) return batch.counts ? own : own.slice(0, 0, 0);
    at::Tensor counts = at::zeros({ranks}, at::kLong);
    counts[parts_.plan.rank] = batch.counts ? own.size(0) : 0;
    parts_.world.sum(counts);
    at::Tensor all = at::zeros({counts.sum().item<int64_t>(), own.size(1), own.size(2)}, own.options());
    const int64_t first = counts.slice(0, 0, parts_.plan.rank).sum().item<int64_t>();
    if (batch.counts) all.slice(0, first, first + own.size(0)).copy_(own);
    parts_.world.sum(all);
    return all;
  }

  // NaN: no label is known of images that have it and of images that lack it.
  double neighbours_auroc() {
    const data::Dataset& dataset = *parts_.datasets.val;
    const int64_t num_labels = dataset.targets().num_labels;
    if (num_labels == 0) return std::nan("");
    at::Tensor features = at::zeros({dataset.size(), model_->swin().embed_dim << 3}, at::kFloat),
               is_there = at::zeros({dataset.size()}, at::kFloat);
    for_each_validation_batch(
        parts_.datasets.val, parts_.config.data, parts_.plan, parts_.seed(), [&](const data::Batch& batch) {
          const train::Autocast autocast(parts_.plan.device.type(), parts_.plan.precision);
          const at::Tensor rows = model_->features(normalised(batch.image)).to(at::kCPU, at::kFloat);
          if (!batch.counts) return;
          const at::Tensor places = at::tensor(batch.indices, at::kLong);
          features.index_copy_(0, places, rows);
          is_there.index_fill_(0, places, 1.0);
        });
    parts_.world.sum(features);
    parts_.world.sum(is_there);
    std::vector<int64_t> places;
    for (int64_t i = 0; i < dataset.size(); ++i) {
      if (is_there[i].item<float>() > 0) places.push_back(i);
    }
    constexpr int64_t kMostImages = 8192;
    NeighbourImages images;
    std::vector<int64_t> taken;
    for (const int64_t nth : evenly_spread(std::ssize(places), kMostImages)) {
      const int64_t place = places[static_cast<size_t>(nth)];
      taken.push_back(place);
      images.groups.push_back(group_of(place));
      const float* labels = dataset.labels(place);
      images.labels.emplace_back(labels, labels + num_labels);
    }
    if (taken.empty()) return std::nan("");
    images.features = features.index_select(0, at::tensor(taken, at::kLong));
    return neighbour_auroc(images);
  }

  // The patient where one is known, else the case.
  std::string group_of(int64_t index) {
    if (patients_.empty()) {
      const auto& sources = parts_.datasets.splits.val;
      for (size_t source = 0; source < sources.size(); ++source) {
        for (size_t i = 0; i < sources[source].size(); ++i) {
          const io::SourceFile& file = sources[source][i];
          const int64_t number = file.prepared_case >= 0 ? file.prepared_case : static_cast<int64_t>(i);
          patients_[(static_cast<int64_t>(source) << 40) + number] = file.patient;
        }
      }
    }
    const int64_t number = parts_.datasets.val->case_number(index);
    const std::string& patient = patients_[number];
    return patient.empty() ? concat("case ", number) : concat("patient ", patient);
  }

  nn::Simclr model_;
  PretrainParts parts_;
  data::Batch shown_;
  at::Tensor mean_, std_;
  std::map<int64_t, std::string> patients_;  // by case number
};

}  // namespace

std::unique_ptr<train::Task> contrastive_task(const PretrainParts& parts) {
  const train::Plan& plan = parts.plan;
  if (plan.world_batch < plan.train.batch_size)
    throw Error(ExitCode::usage,
                concat("train.micro_batch = ", plan.train.micro_batch,
                       ": model.name = simclr compares every image with "
                       "all others of a batch of ",
                       plan.train.batch_size, ", which can't be taken in parts"),
                "leave train.micro_batch out, and fit the memory by more ranks or a smaller train.batch_size");
  if (plan.train.batch_size == 1)
    throw Error(ExitCode::usage, "train.batch_size = 1: model.name = simclr compares the images of a batch",
                "give as many as the memory takes");
  if (parts.datasets.val && parts.datasets.val->size() == 1)
    log::warning("one validation image has no other to be told from: nothing is validated; raise data.val_fraction");
  nn::Simclr model(parts.config.model.simclr());
  begin_with(*model, parts.config.model.init, plan.device);
  return std::make_unique<ContrastiveTask>(std::move(model), parts);
}

}  // namespace vmae::run
