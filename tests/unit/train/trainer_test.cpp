#include "vmae/train/trainer.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "../data/data_folder.h"
#include "linear_task.h"
#include "support/errors.h"
#include "support/tensors.h"

namespace vmae::train {
namespace {

// The loss of one batch, counted from the first, is not finite.
struct FailingTask : LinearTask {
  explicit FailingTask(int64_t at) : LinearTask(64), fails_at(at) {}
  at::Tensor loss(const data::Batch& batch, const RankSum& total) override {
    const at::Tensor loss = LinearTask::loss(batch, total);
    seen.push_back(batch.indices);
    return std::ssize(seen) == fails_at + 1 ? loss / 0 : loss;
  }
  int64_t fails_at;
  std::vector<std::vector<int64_t>> seen;
};

struct OneRun {
  OneRun(const test::TempFolder& data_folder, const std::filesystem::path& path, bool reads_late)
      : folder(path, IfExists::refuse), log(folder, 0) {
    dataset = data::make_dataset(data_folder, std::make_shared<data::Quarantine>("", 0.0));
    TrainOptions train;
    train.epochs = 3;
    train.batch_size = 6;
    train.micro_batch = 3;
    train.log_every = 2;
    train.save_every_steps = 5;
    train.draw_every = 1;
    OptimOptions optim;
    optim.warmup_epochs = 1;
    optim.lr = 1e-2;
    optim.clip_grad_norm = 0.5;
    plan = make_plan(train, optim, dataset->size(), at::kCPU, world, /*is_dry_run=*/false);
    plan.reads_late = reads_late;
  }
  Outcome train(Task& task) {
    AdamW optimizer(task.module(), plan.optim);
    LossScale scale(Precision::fp32, at::kCPU);
    const data::LoaderOptions options{
        .batch_size = plan.world_batch, .seed = 1, .workers = 2, .step_size = plan.train.batch_size};
    data::Loader loader(dataset, options, nullptr);
    Trainer trainer(task, optimizer, scale, loader, plan, {}, world, RunOutput{folder, log}, {});
    Outcome outcome = trainer.run();
    log.finish();
    return outcome;
  }
  // metrics.jsonl without what a clock says.
  std::vector<nlohmann::json> metrics() const {
    std::vector<nlohmann::json> lines;
    std::ifstream file(folder.metrics());
    for (std::string line; std::getline(file, line);) {
      nlohmann::json one = nlohmann::json::parse(line);
      for (const char* key : {"images_per_s", "data_wait_s", "time"}) one.erase(key);
      lines.push_back(one);
    }
    return lines;
  }
  World world;
  std::shared_ptr<const data::Dataset> dataset;
  Plan plan;
  RunFolder folder;
  RunLog log;
};

// As on a GPU: what a step came to is read when the next one is under way. Nothing comes out differently.
TEST(Trainer, ReadingLateChangesNothing) {
  const test::TempFolder data_folder, runs;
  data::write_good_files(data_folder);
  OneRun at_once(data_folder, runs / "at_once", false), late(data_folder, runs / "late", true);
  LinearTask first(64), second(64);
  const Outcome a = at_once.train(first), b = late.train(second);
  EXPECT_EQ(a.state.step, 12);  // 19 samples make 4 steps
  EXPECT_EQ(a.state.step, b.state.step);
  EXPECT_EQ(a.last_loss, b.last_loss);
  EXPECT_EQ(at_once.metrics(), late.metrics());
  EXPECT_EQ(at_once.metrics().size(), 3 * 3);  // two lines and a validation per epoch
  const auto theirs = weights::read_safetensors(late.folder.last_checkpoint());
  for (const auto& [name, tensor] : weights::read_safetensors(at_once.folder.last_checkpoint()).tensors) {
    ASSERT_NE(theirs.find(name), nullptr) << name;
    EXPECT_TRUE(test::same_bits(tensor, *theirs.find(name))) << name;
  }
}

TEST(Trainer, NamesTheSamplesOfAStepThatIsNotFinite) {
  const test::TempFolder data_folder, runs;
  data::write_good_files(data_folder);
  for (const bool reads_late : {false, true}) {
    for (const int64_t fails_at : {0, 1, 3, 7, 8, 20}) {  // a step has two batches, an epoch's last step one
      OneRun run(data_folder, runs / concat(reads_late, "_", fails_at), reads_late);
      FailingTask task(fails_at);
      const Error error = test::error_of([&] { run.train(task); });
      EXPECT_EQ(error.code(), ExitCode::non_finite);
      const int64_t epoch = fails_at / 7, step = epoch * 4 + fails_at % 7 / 2;
      EXPECT_TRUE(test::contains(error.what(), concat("at step ", step, ", epoch ", epoch + 1)));
      std::ifstream file(run.folder.path() / "non_finite.json");
      const nlohmann::json report = nlohmann::json::parse(file);
      EXPECT_EQ(report["step"], step);
      std::vector<std::string> expected;
      for (int64_t batch = fails_at - fails_at % 7 % 2; batch <= fails_at - fails_at % 7 % 2 + 1 && batch / 7 == epoch;
           ++batch) {
        for (const int64_t index : task.seen[static_cast<size_t>(batch)]) expected.push_back(run.dataset->id(index));
      }
      EXPECT_EQ(report["samples"].get<std::vector<std::string>>(), expected);
    }
  }
}

}  // namespace
}  // namespace vmae::train
