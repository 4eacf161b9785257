#include "vmae/weights/unwrap.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <unordered_map>

#include "input_file.h"

namespace vmae::weights {
namespace {

constexpr std::array<std::string_view, 4> kWrappers{"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
                                                    "_forward_module"};
constexpr std::array<std::string_view, 3> kFirstWeights{"patch_embed.proj.weight", "features.0.0.weight",
                                                        "embeddings.patch_embeddings.projection.weight"};
constexpr std::array<std::string_view, 7> kUsual{"model.",    "module.",  "net.",       "network.",
                                                 "backbone.", "encoder.", "state_dict."};

// The last part is the tensor's own name and stays.
std::string without_wrappers(const std::string& name) {
  std::string kept;
  for (size_t begin = 0;;) {
    const size_t dot = name.find('.', begin);
    if (dot == std::string::npos) return kept + name.substr(begin);
    const std::string_view part = std::string_view(name).substr(begin, dot - begin);
    const bool is_wrapper =
        std::find(kWrappers.begin(), kWrappers.end(), part) != kWrappers.end() || (kept.empty() && part == "module");
    if (!is_wrapper) kept.append(part).append(".");
    begin = dot + 1;
  }
}

// What stands before the first weight of each network of the file.
std::set<std::string> places_of_networks(const std::vector<std::string>& names) {
  for (const std::string_view first : kFirstWeights) {
    std::set<std::string> places;
    for (const std::string& name : names) {
      if (!name.ends_with(first)) continue;
      const std::string place = name.substr(0, name.size() - first.size());
      if (place.empty() || place.ends_with('.')) places.insert(place);
    }
    if (!places.empty()) return places;
  }
  return {};
}

std::string common_prefix(const std::vector<std::string>& names) {
  std::string prefix;
  const auto all_go_on_with = [&](std::string_view next) {
    const std::string longer = prefix + std::string(next);
    return !names.empty() &&
           std::all_of(names.begin(), names.end(), [&](const std::string& name) { return name.starts_with(longer); });
  };
  for (const auto* next = kUsual.begin(); next != kUsual.end();) {
    if (all_go_on_with(*next)) {
      prefix += *next;
      next = kUsual.begin();
    } else {
      ++next;
    }
  }
  return prefix;
}

std::string prefix_of_network(const std::vector<std::string>& names, const std::filesystem::path& path) {
  const std::set<std::string> places = places_of_networks(names);
  if (places.empty()) return common_prefix(names);
  if (places.contains("")) return "";
  if (places.size() > 1) {
    fail(path, concat("holds several networks, under ", join({places.begin(), places.end()}, ", ")),
         "save the one that is meant alone, in Python: torch.save({k.removeprefix('teacher.'): v for k, v in "
         "weights.items() if k.startswith('teacher.')}, "
         "path)");
  }
  return *places.begin();
}

std::string first_few(const std::vector<std::string>& names) {
  constexpr size_t kShown = 3;
  const std::vector<std::string> shown(names.begin(),
                                       names.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, names.size())));
  return join(shown, ", ") + (names.size() > kShown ? ", ..." : "");
}

// "module." of "module.a.b" -> "a.b"; for a wrapper within the name, the first part that went, with dots around it.
std::string removed_part(const std::string& before, const std::string& after) {
  if (before.ends_with(after)) return before.substr(0, before.size() - after.size());
  for (const std::string_view part : kWrappers) {
    if (const std::string within = concat(".", part, "."); before.find(within) != std::string::npos) return within;
  }
  return "module.";
}

}  // namespace

std::string unwrap_names(std::vector<std::string>& names, const std::filesystem::path& path) {
  std::vector<std::string> own;
  for (const std::string& name : names) own.push_back(without_wrappers(name));
  const std::string prefix = prefix_of_network(own, path);
  std::map<std::string, size_t> removed;  // with the number of tensors
  std::vector<std::string> others;
  std::unordered_map<std::string, const std::string*> seen;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string& before = names[i];
    if (own[i].starts_with(prefix)) own[i].erase(0, prefix.size());
    const auto [first, is_new] = seen.emplace(own[i], &before);
    if (!is_new)
      fail(path, concat("two tensors are called \"", own[i], "\" without what wrappers put before it: ", *first->second,
                        ", ", before));
    if (own[i] == before)
      others.push_back(before);
    else
      ++removed[removed_part(before, own[i])];
  }
  if (removed.empty()) return "";
  std::vector<std::string> parts;
  for (const auto& [part, count] : removed) parts.push_back(concat("\"", part, "\" from ", count));
  std::string text = concat("weights ", path.string(), ": removed ", join(parts, ", "), " of ", names.size(),
                            " names, which a wrapper put there");
  if (!others.empty()) text += concat("; without it, and kept as they are: ", first_few(others));
  names = std::move(own);
  return text;
}

}  // namespace vmae::weights
