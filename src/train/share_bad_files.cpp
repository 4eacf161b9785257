#include "vmae/train/share_bad_files.h"
#include "vmae/core/json_text.h"

#include <nlohmann/json.hpp>

namespace vmae::train {

bool share_bad_files(World& world, data::Quarantine& bad_files, int64_t epoch) {
  if (world.size() == 1) return false;
  const nlohmann::json own = bad_files.take_news(epoch);
  bool has_news = false;
  for (const std::string& news : world.gather(json_text(own))) {
    for (const auto& [name, reason] :
         nlohmann::json::parse(news).get<std::vector<std::pair<std::string, std::string>>>())
      has_news |= bad_files.leave_out(name, reason);
  }
  return has_news;
}

}  // namespace vmae::train
