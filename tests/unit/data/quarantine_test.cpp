#include "vmae/data/quarantine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace vmae::data {
namespace {

using test::contains;
using test::error_of;
using test::slurp;
using test::TempFolder;

TEST(Quarantine, WritesEachFileOnce) {
  const TempFolder folder;
  Quarantine quarantine(folder / "quarantine.jsonl", 0.5);
  quarantine.expect(10);
  quarantine.add("a \"quoted\".png", "is cut off");
  quarantine.add("b.png", "no\nway");
  quarantine.add("b.png", "again");
  EXPECT_EQ(quarantine.count(), 2);
  EXPECT_TRUE(quarantine.contains("b.png"));
  EXPECT_FALSE(quarantine.contains("c.png"));
  EXPECT_EQ(
      slurp(folder / "quarantine.jsonl"),
      "{\"file\":\"a \\\"quoted\\\".png\",\"reason\":\"is cut off\"}\n{\"file\":\"b.png\",\"reason\":\"no\\nway\"}\n");
}

TEST(Quarantine, AResumedRunGoesOnWithTheFile) {
  const TempFolder folder;
  folder.write("quarantine.jsonl", "{\"file\":\"a.png\",\"reason\":\"r\"}\nhalf a li");
  Quarantine quarantine(folder / "quarantine.jsonl", 0.5);
  EXPECT_EQ(quarantine.count(), 0);
  quarantine.expect(10);
  quarantine.add("a.png", "r");
  EXPECT_EQ(quarantine.count(), 1);
  EXPECT_EQ(slurp(folder / "quarantine.jsonl"), "{\"file\":\"a.png\",\"reason\":\"r\"}\nhalf a li");
}

TEST(Quarantine, ThrowsAboveTheFraction) {
  Quarantine quarantine("", 0.2);
  quarantine.expect(5);
  quarantine.expect(5);
  quarantine.add("a", "r");
  quarantine.add("b", "r");
  const Error error = error_of([&] { quarantine.add("c", "r"); });
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_TRUE(
      contains(error.what(), "3 of 10 files can't be read, more than data.max_bad_fraction = 0.2 allows: a, b, c"));
}

// Workers run ahead of the epoch that ends: what they found for later ones waits, unless it was wanted before as well.
TEST(Quarantine, NewsAreOfTheEpochsThatEnded) {
  Quarantine quarantine("", 1.0);
  quarantine.expect(10);
  quarantine.add("later", "x", 2);
  quarantine.add("both", "y", 2);
  quarantine.add("both", "again", 1);
  quarantine.add("listed", "z");
  using News = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(quarantine.take_news(0), (News{{"listed", "z"}}));
  EXPECT_EQ(quarantine.take_news(1), (News{{"both", "y"}}));
  EXPECT_EQ(quarantine.take_news(1), News{});
  EXPECT_EQ(quarantine.take_news(2), (News{{"later", "x"}}));
}

TEST(Quarantine, LeavesOutWhatAnyRankCouldNotRead) {
  const TempFolder folder;
  Quarantine quarantine(folder / "q.jsonl", 0.2);
  quarantine.expect(10);
  quarantine.add("own", "x", 0);
  EXPECT_FALSE(quarantine.is_left_out("own"));
  EXPECT_FALSE(quarantine.leaves_some_out());
  EXPECT_TRUE(quarantine.leave_out("own", "x"));
  EXPECT_FALSE(quarantine.leave_out("own", "y"));
  EXPECT_TRUE(quarantine.take_news(9).empty()) << "all ranks know";
  EXPECT_TRUE(quarantine.leave_out("theirs", "z"));
  EXPECT_TRUE(quarantine.is_left_out("theirs"));
  EXPECT_EQ(slurp(folder / "q.jsonl"), "{\"file\":\"own\",\"reason\":\"x\"}\n{\"file\":\"theirs\",\"reason\":\"z\"}\n");
  EXPECT_TRUE(contains(error_of([&] { quarantine.leave_out("third", "z"); }).what(), "data.max_bad_fraction"))
      << "theirs count as well";
}

TEST(Quarantine, ManyThreadsAdd) {
  const TempFolder folder;
  Quarantine quarantine(folder / "q.jsonl", 1.0);
  quarantine.expect(50);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 50; ++i) quarantine.add(std::to_string(i), "r");
      });
    }
  }
  EXPECT_EQ(quarantine.count(), 50);
  const std::string lines = slurp(folder / "q.jsonl");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 50);
}

}  // namespace
}  // namespace vmae::data
