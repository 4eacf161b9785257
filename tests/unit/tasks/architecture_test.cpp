// Whose architecture a network for fine-tuning takes, before and after its launcher started the run again.
#include "vmae/tasks/architecture.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "support/temp_folder.h"

namespace vmae::run {
namespace {

using train::IfExists;

class AdoptedWeights : public testing::Test {
 protected:
  // as a run of this job leaves it; without_checkpoint: killed before its first
  void begin(const std::string& name, const std::string& job, bool without_checkpoint = false) {
    std::filesystem::create_directories(folder_ / name / "checkpoints");
    folder_.write(name + "/.job", job);
    if (!without_checkpoint) folder_.write(name + "/checkpoints/last.safetensors", "");
  }
  std::string adopted(const std::string& fold, const Launch& launch, IfExists wanted = IfExists::refuse) const {
    return adopted_weights(folder_.path() / "run", "init", fold, launch, wanted);
  }
  std::string at(const std::string& name) const { return folder_.path() / name; }

  test::TempFolder folder_;
  const Launch first_{.job = "job 7"}, again_{.job = "job 7", .attempt = 1}, other_{.job = "job 8", .attempt = 1};
};

TEST_F(AdoptedWeights, OfANewRunAreThoseItBeginsFrom) {
  EXPECT_EQ(adopted("", first_), "init");
  EXPECT_EQ(adopted("", again_), "init");
  EXPECT_EQ(adopted("0", again_), "init");
  EXPECT_EQ(adopted("all", again_), "init");
}

TEST_F(AdoptedWeights, OfAResumedRunAreItsOwn) {
  begin("run", "job 7");
  EXPECT_EQ(adopted("", first_, IfExists::resume), at("run"));
  EXPECT_EQ(adopted("", first_, IfExists::overwrite), "init");
}

TEST_F(AdoptedWeights, OfARunThatItsLauncherStartedAgainAreItsOwn) {
  begin("run", "job 7");
  for (const IfExists wanted : {IfExists::refuse, IfExists::overwrite, IfExists::resume}) {
    EXPECT_EQ(adopted("", again_, wanted), at("run"));
  }
  EXPECT_EQ(adopted("", other_), "init");
}

TEST_F(AdoptedWeights, OfARunWithoutCheckpointAreThoseItBeginsFrom) {
  begin("run", "job 7", /*without_checkpoint=*/true);
  EXPECT_EQ(adopted("", again_), "init");
  EXPECT_EQ(adopted("", first_, IfExists::resume), "init");
}

TEST_F(AdoptedWeights, OfFoldsAreThoseOfTheFirstThatHasBegun) {
  begin("run/fold_0", "job 7", /*without_checkpoint=*/true);
  begin("run/fold_1", "job 7");
  begin("run/fold_2", "job 7");
  EXPECT_EQ(adopted("all", again_), at("run/fold_1"));
  EXPECT_EQ(adopted("2", again_), at("run/fold_2"));
  EXPECT_EQ(adopted("0", again_), "init");
  EXPECT_EQ(adopted("all", first_), "init");
}

}  // namespace
}  // namespace vmae::run
