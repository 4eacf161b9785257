#include "vmae/runs/counting_bar.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "support/errors.h"
#include "support/pseudo_terminal.h"
#include "vmae/core/log.h"

namespace vmae::run {
namespace {

using test::contains;
using test::PseudoTerminal;

void count_slowly(const std::string& what) {
  Counting counting(what, 4);
  for (int i = 0; i < 4; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(120));
    counting.add();
  }
}

TEST(CountingBar, ShowsABarOnATerminalAndLeavesItWhole) {
  setenv("TERM", "xterm", 1);
  PseudoTerminal terminal(80);
  const CountingBar bar(/*silent_s=*/0);
  count_slowly("masks");
  const std::string shown = terminal.shown();
  EXPECT_TRUE(contains(shown, "masks [")) << shown;
  EXPECT_TRUE(contains(shown, "100%")) << shown;
  EXPECT_TRUE(shown.ends_with("\n")) << shown;
}

TEST(CountingBar, IsSilentAboutWhatIsQuick) {
  setenv("TERM", "xterm", 1);
  PseudoTerminal terminal(80);
  const CountingBar bar(/*silent_s=*/1000);
  count_slowly("masks");
  EXPECT_EQ(terminal.shown(), "");
}

TEST(CountingBar, WritesLinesWhereThereIsNoTerminal) {
  log::set_level(log::Level::info);  // other tests silence it
  testing::internal::CaptureStderr();
  {
    const CountingBar bar(/*silent_s=*/0, /*line_s=*/0);
    count_slowly("headers of images");
  }
  const std::string lines = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(contains(lines, "headers of images: 2 of 4, about ")) << lines;
}

}  // namespace
}  // namespace vmae::run
