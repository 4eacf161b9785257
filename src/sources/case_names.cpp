#include "vmae/sources/case_names.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <tuple>

#include "vmae/cases/time_points.h"
#include "vmae/core/hash.h"
#include "vmae/core/text.h"
#include "vmae/image/file_name.h"

namespace vmae::io {

namespace fs = std::filesystem;

namespace {

// "#t3", by which a time point of a 4-D file is told from the others; else "".
std::string time_suffix(const SourceFile& file) {
  const std::string suffix = time_point_suffix(file.time_point);
  return file.name.ends_with(suffix) ? suffix : "";
}

bool is_identifying(const std::string& name, const std::vector<std::string>& identifying) {
  const std::string lower = to_lower(name);
  return std::any_of(identifying.begin(), identifying.end(), [&](const std::string& text) {
    return text.size() >= 3 && lower.find(to_lower(text)) != std::string::npos;
  });
}

}  // namespace

// Whether text[from, to) is a word: what is beside it is no letter or digit, or of another
// kind ("LeeCT", "Lee2", "CTlee"). "lee" in "spleen" is none, nor is "ung" in "Lung".
bool is_word(const std::string& text, size_t from, size_t to) {
  const auto kind = [&](size_t at) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (std::isdigit(c)) return 1;
    if (std::isupper(c)) return 2;
    return std::islower(c) || c >= 0x80 ? 3 : 0;
  };
  const auto goes_on = [&](size_t left) {
    return kind(left) != 0 && (kind(left) == kind(left + 1) || (kind(left) == 2 && kind(left + 1) == 3));
  };
  const bool is_after_capitals = from >= 2 && kind(from - 2) == 2 && kind(from - 1) == 2 && kind(from) == 3;
  return (from == 0 || is_after_capitals || !goes_on(from - 1)) && (to == text.size() || !goes_on(to - 1));
}

std::string without(std::string text, const std::vector<std::string>& identifying) {
  for (const std::string& one : identifying) {
    if (one.size() < 3) continue;
    // Few letters may be part of an ordinary word; with digits, or longer, it means what it says wherever it stands.
    const bool is_anywhere =
        one.size() > 4 || std::any_of(one.begin(), one.end(), [](unsigned char c) { return std::isdigit(c); });
    const std::string wanted = to_lower(one);
    for (size_t at = to_lower(text).find(wanted); at != std::string::npos; at = to_lower(text).find(wanted, at + 1)) {
      if (is_anywhere || is_word(text, at, at + one.size())) text.replace(at, one.size(), "*");
    }
  }
  return text;
}

std::string safe_name(const std::string& name, const std::vector<std::string>& identifying) {
  return is_identifying(name, identifying) ? "case_" + hex(sha256(name), 6) : name;
}

std::vector<std::string> case_names(const std::vector<SourceFile>& cases, const std::vector<std::string>& identifying) {
  std::map<std::string, int64_t> series_in;  // by folder
  const auto folder_of = [](const SourceFile& file) { return fs::path(file.name).parent_path().generic_string(); };
  for (const SourceFile& file : cases) series_in[folder_of(file)] += file.series.empty() ? 0 : 1;
  const auto file_name_of = [](const SourceFile& file) {
    return file.name.substr(0, file.name.size() - time_suffix(file).size());
  };
  const auto short_name_of = [&](const SourceFile& file) {
    if (!file.series.empty() && !folder_of(file).empty() && series_in.at(folder_of(file)) == 1) return folder_of(file);
    return take_apart(file_name_of(file)).stem;
  };
  // Of a manifest whose images lie elsewhere: the folder that all of them lie in is no part of a name.
  std::optional<fs::path> common;
  for (const SourceFile& file : cases) {
    const fs::path path = fs::path(file.name).lexically_normal(), folder = path.parent_path();
    if (!path.is_absolute() && *path.begin() != "..") continue;
    if (!common) common = folder;
    fs::path shared;
    for (auto a = common->begin(), b = folder.begin(); a != common->end() && b != folder.end() && *a == *b; ++a, ++b)
      shared /= *a;
    common = shared;
  }
  const auto finished = [&](const std::string& name, const SourceFile& file) {
    auto path = fs::path(name).lexically_normal();
    // no ".." into other folders
    if (common && (path.is_absolute() || *path.begin() == "..")) path = path.lexically_relative(*common);
    std::string text;
    for (const auto& part : path.relative_path()) {
      if (part != "..") text += (text.empty() ? "" : "/") + part.string();
    }
    text = safe_name(text, identifying);
    if (const std::string time = time_suffix(file); !time.empty()) text += "_" + time.substr(1);
    return text;
  };
  const bool has_channel =
      std::all_of(cases.begin(), cases.end(), [&](const auto& file) { return short_name_of(file).ends_with("_0000"); });
  std::vector<std::string> names;
  std::map<std::string, int64_t> count;
  for (const SourceFile& file : cases) {
    std::string name = short_name_of(file);
    if (has_channel) name.resize(name.size() - 5);
    names.push_back(finished(name, file));
    ++count[names.back()];
  }
  std::set<std::string> used;
  for (size_t i = 0; i < names.size(); ++i) {
    if (count[names[i]] == 1) used.insert(names[i]);
  }
  for (size_t i = 0; i < names.size(); ++i) {
    if (count[names[i]] == 1) continue;
    const std::string name = finished(file_name_of(cases[i]), cases[i]);
    names[i] = name;
    for (int64_t number = 2; !used.insert(names[i]).second; ++number) names[i] = concat(name, "_", number);
  }
  return names;
}

std::vector<std::string> names_beside(const std::vector<SourceFile>& cases, const std::vector<SourceFile>& beside,
                                      const std::vector<std::string>& identifying) {
  std::vector<const SourceFile*> order;
  for (const SourceFile& file : cases) order.push_back(&file);
  for (const SourceFile& file : beside) order.push_back(&file);
  std::vector<size_t> sorted(order.size());
  std::iota(sorted.begin(), sorted.end(), size_t{0});
  std::sort(sorted.begin(), sorted.end(), [&](size_t a, size_t b) {
    return std::tie(order[a]->name, order[a]->path) < std::tie(order[b]->name, order[b]->path);
  });
  std::vector<SourceFile> all;
  for (const size_t i : sorted) all.push_back(*order[i]);
  const std::vector<std::string> all_names = case_names(all, identifying);
  std::vector<std::string> names(cases.size());
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] < cases.size()) names[sorted[i]] = all_names[i];
  }
  return names;
}

}  // namespace vmae::io
