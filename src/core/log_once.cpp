#include "vmae/core/log_once.h"

#include <mutex>
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

}  // namespace

void info_once(std::string_view subject, std::string_view text) {
  bool names_subjects = true;
  {
    const std::lock_guard lock(said().mutex);
    if (!said().texts.emplace(text).second) return;
    names_subjects = said().names_subjects;
  }
  info(concat(names_subjects ? subject : "a file", ' ', text, " (said once)"));
}

void name_no_subjects() {
  const std::lock_guard lock(said().mutex);
  said().names_subjects = false;
}

}  // namespace vmae::log
