#pragma once
// Lines for people: on standard error (coloured on a terminal) and, once a run folder exists, in its train.log.
// spdlog stays inside log.cpp: its fmt does not compile beside the fmt that LibTorch ships.
#include <filesystem>
#include <string_view>

namespace vmae::log {

enum class Level { debug, info, warning, error, nothing };

void debug(std::string_view message);
void info(std::string_view message);
void warning(std::string_view message);
void error(std::string_view message);

void set_level(Level level);
void add_file(const std::filesystem::path& path);  // appends; every line is flushed
void close_file();
// called before a line goes to the terminal, so that a progress bar can step aside
void set_before_line(void (*clear_progress_line)());

}  // namespace vmae::log
