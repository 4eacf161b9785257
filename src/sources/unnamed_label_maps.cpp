#include "unnamed_label_maps.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <set>

#include "vmae/cases/read_image.h"
#include "vmae/core/error.h"
#include "vmae/core/text.h"
#include "vmae/image/file_name.h"
#include "vmae/image/image.h"

namespace vmae::io {
namespace {

constexpr size_t kMostGroups = 8, kLooked = 3;

// Few whole numbers, 0 among them, as label maps hold and images don't. Nothing
// where one value fills it (a healthy patient's mask), or it can't be read.
std::optional<bool> holds_labels(const SourceFile& file) {
  constexpr size_t kMostValues = 16;
  std::set<double> values;
  bool is_finite = true;
  try {
    const Volume volume = read_image(file);
    if (volume.channels != 1 || volume.scaling.size() != 1) return false;
    visit(volume.type, [&]<class T>(T) {
      std::vector<T> stored(volume.stored.size() / sizeof(T));
      std::memcpy(stored.data(), volume.stored.data(), stored.size() * sizeof(T));
      for (size_t i = 0; i < stored.size() && values.size() <= kMostValues && is_finite; ++i) {
        if (i > 0 && stored[i] == stored[i - 1]) continue;
        const double value = static_cast<double>(stored[i]) * volume.scaling[0].slope + volume.scaling[0].intercept;
        is_finite = std::isfinite(value);
        if (is_finite) values.insert(value);
      }
    });
  } catch (const Error&) {  // reading it as an image will say so
    return std::nullopt;
  }
  if (is_finite && values.size() == 1) return std::nullopt;
  const auto is_label = [](double value) {
    return value > -0.5 && value < 255.5 && std::abs(value - std::nearbyint(value)) < 1e-3;
  };
  return is_finite && values.size() <= kMostValues && std::all_of(values.begin(), values.end(), is_label) &&
         std::abs(*values.begin()) < 1e-3;
}

// "lesion" of "p1/lesion" and "p1_lesion"; "" where the name ends in something with a digit.
std::string last_word(const SourceFile& file) {
  const std::string stem = to_lower(stem_of(file.name)), word = stem.substr(stem.find_last_of("_-. ") + 1);
  return word.find_first_of("0123456789") == std::string::npos ? word : "";
}

// First, middle, last.
std::vector<const SourceFile*> some_of(const std::vector<const SourceFile*>& files) {
  std::vector<const SourceFile*> some;
  const size_t count = std::min(files.size(), kLooked);
  for (size_t i = 0; i < count; ++i) some.push_back(files[count == 1 ? 0 : i * (files.size() - 1) / (count - 1)]);
  return some;
}

// Whether those that say anything are all label maps, and there are any.
bool seem_label_maps(const std::vector<const SourceFile*>& files) {
  bool is_any = false;
  for (const SourceFile* file : some_of(files)) {
    const std::optional<bool> holds = file->series.empty() ? holds_labels(*file) : false;
    if (holds == false) return false;
    is_any |= holds.has_value();
  }
  return is_any;
}

}  // namespace

void tell_of_unnamed_label_maps(Source& source) {
  std::map<std::string, std::vector<const SourceFile*>> by_word;
  for (const SourceFile& file : source.files) {
    if (!file.series.empty() || !file.mask.empty()) continue;
    if (const std::string word = last_word(file); !word.empty()) by_word[word].push_back(&file);
  }
  std::vector<std::string> words;
  for (const auto& [word, files] : by_word) {
    if (files.size() > 1 && files.size() < source.files.size()) words.push_back(word);
  }
  std::stable_sort(words.begin(), words.end(),
                   [&](const std::string& a, const std::string& b) { return by_word[a].size() > by_word[b].size(); });
  words.resize(std::min(words.size(), kMostGroups));
  for (const std::string& word : words) {
    const std::vector<const SourceFile*>& group = by_word[word];
    if (!seem_label_maps(group)) continue;
    std::vector<const SourceFile*> others;
    for (const SourceFile& file : source.files) {
      if (!file.series.empty() || last_word(file) != word) others.push_back(&file);
    }
    if (seem_label_maps(others)) continue;  // label maps alone, which somebody wants to look at or to evaluate
    source.remarks.push_back({group[0]->name,
                              // the word itself may be a surname
                              concat("and ", group.size() - 1,
                                     " more whose names end alike seem label maps by their values (few whole numbers), "
                                     "but are taken as images: if they are masks, end their names in _mask, put them "
                                     "into a folder masks, or name them in a manifest's column mask")});
  }
}

}  // namespace vmae::io
