#include "vmae/train/trainer.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "../data/data_folder.h"
#include "linear_task.h"
#include "support/errors.h"
#include "support/free_port.h"
#include "support/tensors.h"
#include "vmae/core/signals.h"

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
  OneRun(const test::TempFolder& data_folder, const std::filesystem::path& path, bool reads_late,
         World* ranks = nullptr)
      : world(ranks != nullptr ? *ranks : alone), folder(path, IfExists::refuse), log(folder, 0) {
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
    const auto made = make_optimizer(task.module(), plan.optim);
    Optimizer& optimizer = *made;
    LossScale scale(precision, at::kCPU);
    const data::LoaderOptions options{.batch_size = plan.world_batch,
                                      .seed = 1,
                                      .workers = 2,
                                      .rank = plan.rank,
                                      .world_size = plan.num_ranks,
                                      .step_size = plan.train.batch_size};
    world.share_gradients(optimizer.parameters(), /*compress=*/false);
    data::Loader loader(dataset, options, nullptr);
    const std::optional<RunOutput> output = world.is_first() ? std::optional(RunOutput{folder, log}) : std::nullopt;
    Outcome outcome = Trainer(task, optimizer, scale, loader, plan, {}, world, output, {}).run();
    world.keep_gradients();
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
  World alone;
  World& world;
  Precision precision = Precision::fp32;
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

// Read late, the error comes after the batches of one more step; it may not come later.
int64_t batches_until_the_error(int64_t fails_at, bool reads_late) {
  const test::TempFolder data_folder, runs;
  data::write_good_files(data_folder);
  OneRun run(data_folder, runs / "run", reads_late);
  FailingTask task(fails_at);
  EXPECT_EQ(test::error_of([&] { run.train(task); }).code(), ExitCode::non_finite);
  return std::ssize(task.seen);
}

TEST(Trainer, ReadsLateByOneStep) {
  EXPECT_EQ(batches_until_the_error(3, /*reads_late=*/false), 4);
  EXPECT_EQ(batches_until_the_error(3, /*reads_late=*/true), 4 + 2);
  EXPECT_EQ(batches_until_the_error(1, /*reads_late=*/true), 2) << "a checkpoint follows the first step";
  EXPECT_EQ(batches_until_the_error(6, /*reads_late=*/true), 7) << "an epoch ends";
}

// What a checkpoint in the middle says is what was known of all steps before it.
TEST(Trainer, CheckpointsOfLateReadingAreTheSame) {
  const test::TempFolder data_folder, runs;
  data::write_good_files(data_folder);
  std::vector<std::string> states;
  for (const bool reads_late : {false, true}) {
    OneRun run(data_folder, runs / concat("run", reads_late), reads_late);
    run.plan.train.save_every_steps = 2;
    run.plan.train.log_every = 100;
    FailingTask task(/*at=*/5);  // in the third step: the last checkpoint is that of the second
    EXPECT_EQ(test::error_of([&] { run.train(task); }).code(), ExitCode::non_finite);
    const auto checkpoint = weights::read_safetensors(run.folder.last_checkpoint());
    nlohmann::json state = nlohmann::json::parse(checkpoint.metadata.at("state"));
    state.erase("trained_s");
    EXPECT_EQ(state["step"], 2);
    EXPECT_EQ(state["interval_steps"], 2);
    states.push_back(state.dump());
  }
  EXPECT_EQ(states[0], states[1]);
}

// All steps overflow: the scale comes down from 65536 to 1/2, and then it is no matter of scale.
struct AlwaysInfinite : LinearTask {
  using LinearTask::LinearTask;
  at::Tensor loss(const data::Batch& batch, const RankSum&) override {
    const at::Tensor y = outputs(batch);
    return (y - y.detach()).sqrt().mean();  // 0, with an infinite gradient
  }
};

TEST(Trainer, GivesUpWhereTheScaleCantHelp) {
  const test::TempFolder data_folder, runs;
  data::write_good_files(data_folder);
  for (const bool reads_late : {false, true}) {
    OneRun run(data_folder, runs / concat("run", reads_late), reads_late);
    run.precision = Precision::fp16;
    run.plan.train.epochs = 10;
    run.plan.total_steps = 40;
    AlwaysInfinite task(64);
    const Error error = test::error_of([&] { run.train(task); });
    EXPECT_EQ(error.code(), ExitCode::non_finite);
    EXPECT_TRUE(test::contains(error.what(), "at step 16, epoch 5"));
  }
}

TEST(Trainer, DryRunsMakeAPartOfALongStep) {
  const test::TempFolder data_folder, runs;
  data::write_good_files(data_folder);
  OneRun run(data_folder, runs / "run", /*reads_late=*/false);
  run.plan.is_dry_run = true;
  run.plan.long_step_s = 0;
  LinearTask task(64);
  const Outcome outcome = run.train(task);
  EXPECT_EQ(outcome.made_samples, 3);
  EXPECT_EQ(outcome.timed_steps, 0);
  EXPECT_GT(outcome.step_s, 0);
  run.plan.long_step_s = 60;
  EXPECT_EQ(run.train(task).made_samples, 0);
}

// Rank 1 is asked to stop while both have given further steps to the device, and rank 0 saves after each of them.
void stop_two_ranks(const test::TempFolder& data_folder, const std::filesystem::path& path) {
  struct StoppedTask : LinearTask {
    using LinearTask::LinearTask;
    at::Tensor loss(const data::Batch& batch, const RankSum& total) override {
      if (++num_batches == 7) std::raise(SIGTERM);
      return LinearTask::loss(batch, total);
    }
    int64_t num_batches = 0;
  };
  install_stop_signals();
  LinearTask first(64);
  StoppedTask second(64);
  const int port = test::free_port();
  std::vector<Outcome> outcomes(2);
  std::vector<std::thread> ranks;
  for (int64_t r = 0; r < 2; ++r) {
    ranks.emplace_back([&, r] {
      World world(Launch{.rank = r, .size = 2, .local_rank = r, .master_port = port, .launcher = "test"});
      world.connect(at::kCPU, /*timeout_s=*/20);
      Task& task = r == 0 ? static_cast<Task&>(first) : second;
      OneRun run(data_folder, path / std::to_string(r), /*reads_late=*/true, &world);
      run.plan.train.save_every_steps = 1;
      outcomes[static_cast<size_t>(r)] = run.train(task);
      world.finish();
    });
  }
  for (std::thread& rank : ranks) rank.join();
  EXPECT_TRUE(outcomes[0].stopped_by_signal);
  EXPECT_TRUE(outcomes[1].stopped_by_signal);
  EXPECT_EQ(outcomes[0].state.step, outcomes[1].state.step);
  EXPECT_LT(outcomes[0].state.step, 12);
  const auto checkpoint = weights::read_safetensors(path / "0" / "checkpoints" / "last.safetensors");
  EXPECT_EQ(nlohmann::json::parse(checkpoint.metadata.at("state"))["step"], outcomes[0].state.step);
}

TEST(TrainerDeathTest, RanksStopAtOneStepWhileRankZeroSaves) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process of its own: the signal's flag stays set
  const test::TempFolder data_folder, runs;
  data::write_good_files(data_folder);
  EXPECT_EXIT(
      {
        stop_two_ranks(data_folder, runs.path());
        std::_Exit(testing::Test::HasFailure() ? 1 : 0);
      },
      testing::ExitedWithCode(0), "");
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
