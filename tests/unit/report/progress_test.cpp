#include "vmae/report/progress.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "support/errors.h"
#include "support/pseudo_terminal.h"
#include "vmae/core/log.h"

namespace vmae {
namespace {

using test::contains;
using test::PseudoTerminal;

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

TEST(ProgressLine, ShowsEverything) {
  const ProgressState state{"epoch 3/20", 30, 120, {{"loss", "0.412"}, {"images/s", "512"}}};
  EXPECT_EQ(progress_line(state, 0, 60, 100),
            "epoch 3/20 [======>                    ]  25%  loss 0.412  images/s 512  1 min 00 s, 3 min 00 s left");
  EXPECT_EQ(progress_line({"x", 10, 10, {}}, 0, 5, 30), "x [==============] 100%  5.0 s");
}

TEST(ProgressLine, AResumedRunCountsOnlyItsOwnSteps) {
  EXPECT_TRUE(contains(progress_line({"", 110, 200, {}}, 100, 10, 100), ", 1 min 30 s left"));
  // nothing done yet: no guess
  EXPECT_EQ(progress_line({"", 100, 200, {}}, 100, 0, 100).find("left"), std::string::npos);
}

TEST(ProgressLine, NeverTooWide) {
  const ProgressState state{"épo 3/20", 30, 120, {{"loss", "0.412"}, {"Größe", "1"}}};
  for (int columns = -1; columns < 200; ++columns) {
    const std::string line = progress_line(state, 0, 60, columns);
    const auto width =
        std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
    EXPECT_LE(width, std::max(columns, 0));
    EXPECT_TRUE(is_utf8(line));
  }
  EXPECT_EQ(progress_line(state, 0, 60, 30).find('['), std::string::npos);  // the bar goes first
}

TEST(ProgressLine, OddStates) {
  EXPECT_EQ(progress_line({"scan", 17, 0, {}}, 0, 2, 80), "scan 17  2.0 s");
  EXPECT_TRUE(contains(progress_line({"", 30, 20, {}}, 0, 2, 80), "100%"));
  EXPECT_TRUE(contains(progress_line({"", -5, 20, {}}, 0, 2, 80), "0%"));
}

TEST(ProgressBar, DrawsInPlaceAndStaysAtTheEnd) {
  PseudoTerminal terminal(60);
  EXPECT_EQ(isatty(STDERR_FILENO), 1);
  ProgressBar bar(true);
  bar.update({"train", 0, 4, {}});
  bar.update({"train", 4, 4, {}});
  bar.finish();
  const std::string shown = terminal.shown();
  EXPECT_EQ(shown.find("\rtrain ["), 0U) << shown;
  EXPECT_TRUE(contains(shown, "100%"));
  EXPECT_EQ(count(shown, "\n"), 1U);
  EXPECT_EQ(shown.back(), '\n');
  bar.update({"train", 4, 4, {}});
  EXPECT_EQ(terminal.shown(), "");
  std::string line;
  for (const char c : shown + "\r") {
    if (c == '\r' || c == '\n') {
      EXPECT_LT(line.size(), 60 + std::string("\033[K").size());
      line.clear();
    } else {
      line += c;
    }
  }
}

TEST(ProgressBar, DrawsTenTimesASecondAtMost) {
  PseudoTerminal terminal(80);
  ProgressBar bar(true);
  const auto start = std::chrono::steady_clock::now();
  size_t num_drawn = 0;
  for (int i = 0; i < 5000; ++i) {
    bar.update({"train", i, 100000, {}});
    if (i % 1000 == 0) bar.clear();
    num_drawn += count(terminal.shown(), "train");
  }
  const double elapsed_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  EXPECT_GE(num_drawn, 1U);
  EXPECT_LE(static_cast<double>(num_drawn), 1 + 10 * elapsed_s);
}

TEST(ProgressBar, LogLinesAppearAboveIt) {
  PseudoTerminal terminal(80);
  {
    ProgressBar bar(true);
    bar.update({"train", 1, 4, {}});
    terminal.shown();
    log::info("saved");
    const std::string shown = terminal.shown();
    EXPECT_EQ(shown.find("\r\033[K"), 0U) << shown;
    EXPECT_TRUE(contains(shown, "saved"));
    log::info("again");  // nothing left to clear
    EXPECT_EQ(terminal.shown().find("\033[K"), std::string::npos);
  }
  terminal.shown();
  log::info("after");
  EXPECT_EQ(terminal.shown().find("\033[K"), std::string::npos);
}

TEST(ProgressBar, ThreadsMayLogMeanwhile) {
  PseudoTerminal terminal(80);
  std::atomic<bool> is_done{false};
  std::thread reader([&] {
    while (!is_done) terminal.shown();
  });
  for (int round = 0; round < 20; ++round) {
    ProgressBar bar(true);
    std::thread logger([] {
      for (int i = 0; i < 50; ++i) log::info("x");
    });
    for (int i = 0; i < 50; ++i) bar.update({"train", i, 50, {}});
    bar.finish();
    logger.join();
  }
  is_done = true;
  reader.join();
}

TEST(ProgressBar, DisabledDoesNothing) {
  PseudoTerminal terminal(80);
  {
    ProgressBar bar(false);
    bar.update({"train", 1, 4, {}});
    bar.clear();
    bar.finish();
  }
  EXPECT_EQ(terminal.shown(), "");
}

TEST(ProgressBar, KnowsATerminal) {
  const char* before = getenv("TERM");
  const std::string saved = before == nullptr ? "" : before;
  {
    PseudoTerminal terminal(80);
    setenv("TERM", "xterm", 1);
    EXPECT_TRUE(stderr_is_terminal());
    setenv("TERM", "dumb", 1);
    EXPECT_FALSE(stderr_is_terminal());
  }
  before == nullptr ? unsetenv("TERM") : setenv("TERM", saved.c_str(), 1);
}

}  // namespace
}  // namespace vmae
