#include "vmae/core/log_once.h"

#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "vmae/core/log.h"
#include "vmae/core/text.h"

namespace vmae::log {
namespace {

struct Said {
  std::mutex mutex;
  std::set<std::string, std::less<>> texts;
  bool names_subjects = true;
};

Said& said() {
  static Said& instance = *new Said;  // as the logger, never destroyed
  return instance;
}

// The line, the first time.
std::optional<std::string> line_of(std::string_view subject, std::string_view text) {
  const std::lock_guard lock(said().mutex);
  if (!said().texts.emplace(text).second) return std::nullopt;
  return concat(said().names_subjects ? subject : "a file", ' ', text, " (said once)");
}

}  // namespace

void info_once(std::string_view subject, std::string_view text) {
  if (const auto line = line_of(subject, text)) info(*line);
}

void warning_once(std::string_view subject, std::string_view text) {
  if (const auto line = line_of(subject, text)) warning(*line);
}

void name_no_subjects() {
  const std::lock_guard lock(said().mutex);
  said().names_subjects = false;
}

}  // namespace vmae::log
