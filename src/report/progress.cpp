// The bar is redrawn in place with "\r", the line and "erase to the end of the line",
// in one write(). It takes one column less than the terminal has, so that no terminal
// wraps it; where that is too little, first the bar goes, then the end of the line.
#include "vmae/report/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string_view>

#include "vmae/core/clock.h"
#include "vmae/core/log.h"
#include "vmae/core/text.h"

namespace vmae {
namespace {

std::atomic<ProgressBar*> active_bar{nullptr};

void clear_active_bar() {
  if (ProgressBar* bar = active_bar.load()) bar->clear();
}

void write_to_terminal(std::string_view text) {
  const ssize_t ignored = write(STDERR_FILENO, text.data(), text.size());
  static_cast<void>(ignored);  // a terminal that went away must not end the run
}

int terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }  // of a UTF-8 sequence

size_t width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

std::string cut_to_width(const std::string& text, size_t columns) {
  size_t end = 0;
  for (size_t used = 0; end < text.size(); ++end) {
    if (!is_continuation(text[end]) && ++used > columns) break;
  }
  return text.substr(0, end);
}

}  // namespace

bool stderr_is_terminal() {
  const char* kind = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && (kind == nullptr || std::string_view(kind) != "dumb");
}

std::string progress_line(const ProgressState& state, int64_t started_at, double elapsed_s, int columns) {
  std::string tail;
  double fraction = 0;
  if (state.total > 0) {
    fraction = std::clamp(static_cast<double>(state.done) / static_cast<double>(state.total), 0.0, 1.0);
    const std::string percent = std::to_string(static_cast<int>(100 * fraction));
    tail = std::string(3 - percent.size(), ' ') + percent + "%";
  } else {
    tail = std::to_string(state.done);
  }
  for (const auto& [name, text] : state.fields) tail += concat("  ", name, " ", text);
  tail += "  " + human_seconds(elapsed_s);
  const auto newly_done = static_cast<double>(state.done - started_at);
  if (newly_done > 0 && state.done < state.total)
    tail += ", " + human_seconds(elapsed_s / newly_done * static_cast<double>(state.total - state.done)) + " left";

  const auto room = static_cast<size_t>(std::max(columns, 0));
  const std::string head = state.label.empty() ? "" : state.label + " ";
  const size_t text_width = width(head) + width(tail);
  constexpr size_t kFrame = 3, kShortest = 5, kLongest = 40;  // "[" "] "
  if (state.total <= 0 || text_width + kFrame + kShortest > room) return cut_to_width(head + tail, room);
  const size_t length = std::min(kLongest, room - text_width - kFrame);
  const auto filled = static_cast<size_t>(fraction * static_cast<double>(length));
  std::string bar(filled, '=');
  if (filled < length) bar += ">" + std::string(length - filled - 1, ' ');
  return head + "[" + bar + "] " + tail;
}

ProgressBar::ProgressBar(bool enabled) : enabled_(enabled), start_(Clock::now()) {
  if (!enabled_) return;
  active_bar = this;
  log::set_before_line(clear_active_bar);
}

ProgressBar::~ProgressBar() { finish(); }

void ProgressBar::update(const ProgressState& state) {
  if (!enabled_) return;
  const std::lock_guard lock(mutex_);
  if (started_at_ < 0) {
    started_at_ = state.done;
    start_ = Clock::now();
  }
  state_ = state;
  const bool is_all_done = state.total > 0 && state.done >= state.total;
  if (!is_all_done && Clock::now() - last_draw_ < std::chrono::milliseconds(100)) return;
  draw();
}

void ProgressBar::clear() {
  const std::lock_guard lock(mutex_);
  if (!is_visible_) return;
  write_to_terminal("\r\033[K");
  is_visible_ = false;
}

void ProgressBar::finish() {
  if (!enabled_) return;
  log::set_before_line(nullptr);  // before the lock: a log call holds its own lock while it waits for ours
  active_bar = nullptr;
  const std::lock_guard lock(mutex_);
  enabled_ = false;
  if (started_at_ < 0) return;
  draw();
  write_to_terminal("\n");
}

void ProgressBar::draw() {
  last_draw_ = Clock::now();
  const double elapsed_s = seconds_between(start_, last_draw_);
  write_to_terminal("\r" + progress_line(state_, started_at_, elapsed_s, terminal_columns() - 1) + "\033[K");
  is_visible_ = true;
}

}  // namespace vmae
