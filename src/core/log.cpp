// One logger with a sink for standard error and, once there is a run folder, one for its train.log; both write
// "2026-01-31 12:00:00 info message". The logger is never destroyed: destructors of other statics may still log.
#include "vmae/core/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <memory>
#include <mutex>

#include "vmae/core/utf8_text.h"

namespace vmae::log {
namespace {

struct State {
  std::mutex mutex;
  spdlog::logger logger{"vmae", std::make_shared<spdlog::sinks::stderr_color_sink_st>()};
  void (*before_line)() = nullptr;

  State() {
    logger.set_pattern("%Y-%m-%d %H:%M:%S %^%l%$ %v");
    logger.flush_on(spdlog::level::trace);
  }
};

State& state() {
  static State& instance = *new State;
  return instance;
}

// File names and DICOM texts must not steer the terminal: control characters
// other than tab and newline become '?', bytes that are not UTF-8 "%FC".
std::string printable(std::string_view message) {
  std::string out = escaped_utf8(message);
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) c = '?';
  }
  return out;
}

void write_line(spdlog::level::level_enum level, std::string_view message) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (!s.logger.should_log(level)) return;
  if (s.before_line != nullptr) s.before_line();
  s.logger.log(level, printable(message));
}

}  // namespace

void debug(std::string_view message) { write_line(spdlog::level::debug, message); }
void info(std::string_view message) { write_line(spdlog::level::info, message); }
void warning(std::string_view message) { write_line(spdlog::level::warn, message); }
void error(std::string_view message) { write_line(spdlog::level::err, message); }

void set_level(Level level) {
  const std::lock_guard lock(state().mutex);
  switch (level) {
    case Level::debug:
      return state().logger.set_level(spdlog::level::debug);
    case Level::info:
      return state().logger.set_level(spdlog::level::info);
    case Level::warning:
      return state().logger.set_level(spdlog::level::warn);
    case Level::error:
      return state().logger.set_level(spdlog::level::err);
    case Level::nothing:
      return state().logger.set_level(spdlog::level::off);
  }
}

void add_file(const std::filesystem::path& path) {
  close_file();
  State& s = state();
  const std::lock_guard lock(s.mutex);
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_st>(path.string());
    sink->set_pattern("%Y-%m-%d %H:%M:%S %l %v");
    s.logger.sinks().push_back(std::move(sink));
  } catch (const spdlog::spdlog_ex& problem) {
    throw Error(ExitCode::internal, concat("cannot write the log file ", path.string(), ": ", problem.what()));
  }
}

void close_file() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.logger.sinks().resize(1);
}

void set_before_line(void (*clear_progress_line)()) {
  const std::lock_guard lock(state().mutex);
  state().before_line = clear_progress_line;
}

}  // namespace vmae::log
