#include "vmae/core/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace vmae {
namespace {

using test::contains;
using test::slurp;
using test::TempFolder;

class Log : public ::testing::Test {
 protected:
  void SetUp() override { ::testing::internal::CaptureStderr(); }
  void TearDown() override {
    log::set_before_line(nullptr);
    log::set_level(log::Level::info);
    log::close_file();
    ::testing::internal::GetCapturedStderr();
  }
};

int num_hook_calls = 0;

// Without colours (which depend on what standard error was at the first line), and with every digit as 0.
std::string plain(std::string text) {
  for (size_t begin = text.find('\033'); begin != std::string::npos; begin = text.find('\033'))
    text.erase(begin, text.find('m', begin) - begin + 1);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }, '0');
  return text;
}

TEST_F(Log, WritesOneFormatToBoth) {
  TempFolder folder;
  log::add_file(folder / "train.log");
  log::info("epoch 1 {} %s");  // no format string
  log::warning("slow");
  log::error("bad");
  log::debug("hidden");
  const std::string lines =
      "0000-00-00 00:00:00 info epoch 0 {} %s\n0000-00-00 00:00:00 warning slow\n0000-00-00 00:00:00 error bad\n";
  EXPECT_EQ(plain(slurp(folder / "train.log")), lines);
  EXPECT_EQ(slurp(folder / "train.log").find('\033'), std::string::npos);
  EXPECT_EQ(plain(::testing::internal::GetCapturedStderr()), lines);
  ::testing::internal::CaptureStderr();
}

TEST_F(Log, LevelsFilter) {
  TempFolder folder;
  log::add_file(folder / "a.log");
  log::set_level(log::Level::warning);
  log::info("no");
  log::set_level(log::Level::debug);
  log::debug("yes");
  EXPECT_EQ(slurp(folder / "a.log").find(" no"), std::string::npos);
  EXPECT_TRUE(contains(slurp(folder / "a.log"), "debug yes\n"));
}

TEST_F(Log, FilesAreAppendedToAndReplaced) {
  TempFolder folder;
  folder.write("a.log", "before\n");
  log::add_file(folder / "a.log");
  log::info("one");
  log::add_file(folder / "b.log");
  log::info("two");
  log::close_file();
  log::info("three");
  EXPECT_EQ(slurp(folder / "a.log").find("before\n"), 0U);
  EXPECT_TRUE(contains(slurp(folder / "a.log"), "one\n"));
  EXPECT_EQ(slurp(folder / "a.log").find("two"), std::string::npos);
  EXPECT_TRUE(contains(slurp(folder / "b.log"), "two\n"));
  EXPECT_EQ(slurp(folder / "b.log").find("three"), std::string::npos);
}

TEST_F(Log, ABadFileIsAnError) {
  TempFolder folder;
  EXPECT_EQ(test::error_of([&] { log::add_file(folder.path()); }).code(), ExitCode::internal);
}

TEST_F(Log, HookRunsBeforeEachShownLine) {
  num_hook_calls = 0;
  log::set_before_line([] { ++num_hook_calls; });
  log::info("a");
  log::debug("hidden");
  log::error("b");
  EXPECT_EQ(num_hook_calls, 2);
  log::set_before_line(nullptr);
  log::info("c");
  EXPECT_EQ(num_hook_calls, 2);
}

TEST_F(Log, ControlCharactersDoNotReachTheTerminal) {
  TempFolder folder;
  log::add_file(folder / "a.log");
  log::info("name\033[2Jx\r\ty");
  EXPECT_TRUE(contains(slurp(folder / "a.log"), "name?[2Jx?\ty\n"));
}

TEST_F(Log, ThreadsDoNotMixLines) {
  TempFolder folder;
  log::add_file(folder / "a.log");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      for (int k = 0; k < 200; ++k) log::info(std::string(100, 'x'));
    });
  }
  for (auto& thread : threads) thread.join();
  const std::string content = slurp(folder / "a.log");
  EXPECT_EQ(std::count(content.begin(), content.end(), '\n'), 800);
  EXPECT_EQ(content.size(), 800 * (20 + 5 + 100 + 1U));
}

}  // namespace
}  // namespace vmae
