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
  void begin(const std::string& name, const std::string& job) { folder_.write(name + "/.job", job); }
  void save_checkpoint(const std::string& name) { folder_.write(name + "/checkpoints/last.safetensors", ""); }
  std::string adopted(const std::string& fold, const Launch& launch, IfExists wanted = IfExists::refuse) const {
    return adopted_weights(folder_.path() / "run", "init", fold, launch, wanted);
  }
  std::string path_of(const std::string& name) const { return folder_.path() / name; }

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
  save_checkpoint("run");
  EXPECT_EQ(adopted("", first_, IfExists::resume), path_of("run"));
  EXPECT_EQ(adopted("", first_, IfExists::overwrite), "init");
}

TEST_F(AdoptedWeights, OfARunThatItsLauncherStartedAgainAreItsOwn) {
  begin("run", "job 7");
  save_checkpoint("run");
  for (const IfExists wanted : {IfExists::refuse, IfExists::overwrite, IfExists::resume}) {
    EXPECT_EQ(adopted("", again_, wanted), path_of("run"));
  }
  EXPECT_EQ(adopted("", other_), "init");
}

TEST_F(AdoptedWeights, OfARunWithoutCheckpointAreThoseItBeginsFrom) {
  begin("run", "job 7");  // killed before its first checkpoint
  EXPECT_EQ(adopted("", again_), "init");
  EXPECT_EQ(adopted("", first_, IfExists::resume), "init");
}

TEST_F(AdoptedWeights, OfFoldsAreThoseOfTheFirstThatHasBegun) {
  for (const char* fold : {"run/fold_0", "run/fold_1", "run/fold_2"}) begin(fold, "job 7");
  for (const char* fold : {"run/fold_1", "run/fold_2"}) save_checkpoint(fold);
  EXPECT_EQ(adopted("all", again_), path_of("run/fold_1"));
  EXPECT_EQ(adopted("2", again_), path_of("run/fold_2"));
  EXPECT_EQ(adopted("0", again_), "init");
  EXPECT_EQ(adopted("all", first_), "init");
  EXPECT_EQ(adopted("all", first_, IfExists::resume), path_of("run/fold_1"));
  EXPECT_EQ(adopted("2", first_, IfExists::resume), path_of("run/fold_2"));
  EXPECT_EQ(adopted("0", first_, IfExists::resume), "init");
}

}  // namespace
}  // namespace vmae::run
