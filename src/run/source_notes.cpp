#include "source_notes.h"

#include <map>
#include <vector>

#include "vmae/core/log.h"
#include "vmae/core/text.h"
#include "vmae/io/case_names.h"

namespace vmae::run {

void log_remarks(const io::Source& source, const std::string& path) {
  constexpr size_t kShown = 20;
  std::vector<std::string> order;
  std::map<std::string, std::vector<std::string>> names_of;
  for (const io::SourceRemark& remark : source.remarks) {
    std::vector<std::string>& names = names_of[remark.text];
    if (names.empty()) order.push_back(remark.text);
    names.push_back(io::without(remark.name, source.identifying));
  }
  for (size_t i = 0; i < order.size() && i < kShown; ++i) {
    const std::vector<std::string>& names = names_of[order[i]];
    const std::string whose = names[0].empty() ? "" : names[0] + (names.size() > 1 ? concat(" and ", names.size() - 1, " more") : "") + ": ";
    log::info(concat("note: ", path, ": ", whose, order[i]));
  }
  if (order.size() > kShown) log::info(concat("note: ", path, ": ... and ", order.size() - kShown, " more kinds: vmae inspect ", path));
}

}  // namespace vmae::run
