#include "vmae/runs/source_notes.h"

#include <functional>
#include <map>
#include <vector>

#include "vmae/core/log.h"
#include "vmae/core/text.h"
#include "vmae/sources/case_names.h"

namespace vmae::run {

namespace {

constexpr size_t kShown = 20;

std::string whose_remark(const std::vector<std::string>& names) {
  if (names[0].empty()) return "";
  return names[0] + (names.size() > 1 ? concat(" and ", names.size() - 1, " more") : "") + ": ";
}

// Each kind of remark once, with the first file that it is about.
void say(const std::vector<io::SourceRemark>& remarks, const io::Source& source,
         const std::function<void(const std::string&)>& log) {
  std::vector<std::string> order;
  std::map<std::string, std::vector<std::string>> names_of;
  for (const io::SourceRemark& remark : remarks) {
    std::vector<std::string>& names = names_of[remark.text];
    if (names.empty()) order.push_back(remark.text);
    names.push_back(io::without(remark.name, source.identifying));
  }
  for (size_t i = 0; i < order.size() && i < kShown; ++i) log(whose_remark(names_of[order[i]]) + order[i]);
  if (order.size() > kShown) log(concat("... and ", order.size() - kShown, " more kinds, which `vmae inspect` lists"));
}

}  // namespace

void log_remarks(const io::Source& source) {
  say(source.refused, source, [](const std::string& text) { log::warning("left out: " + text); });
  say(source.remarks, source, [](const std::string& text) { log::info("note: " + text); });
}

}  // namespace vmae::run
