#include "label_maps_by_values.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "vmae/core/error.h"
#include "vmae/io/image.h"
#include "vmae/io/read_image.h"

namespace vmae::io {
namespace {

// Whether an image holds few whole numbers, 0 among them, as label maps do and images don't.
bool holds_labels(const SourceFile& file) {
  constexpr size_t kMostValues = 16;
  std::set<double> values;
  try {
    const Volume volume = read_image(file);
    if (volume.channels != 1 || volume.scaling.size() != 1) return false;
    visit(volume.type, [&]<class T>(T) {
      std::vector<T> stored(volume.stored.size() / sizeof(T));
      std::memcpy(stored.data(), volume.stored.data(), stored.size() * sizeof(T));
      for (size_t i = 0; i < stored.size() && values.size() <= kMostValues; ++i) {
        if (i > 0 && stored[i] == stored[i - 1]) continue;
        values.insert(static_cast<double>(stored[i]) * volume.scaling[0].slope + volume.scaling[0].intercept);
      }
    });
  } catch (const Error&) {  // reading it as an image will say so
    return false;
  }
  const auto is_label = [](double value) { return value > -0.5 && value < 255.5 && std::abs(value - std::nearbyint(value)) < 1e-3; };
  return values.size() > 1 && values.size() <= kMostValues && std::all_of(values.begin(), values.end(), is_label) && std::abs(*values.begin()) < 1e-3;
}

// "lesion" of "p1/lesion", "p1_lesion"; "" where a number or modality ends the name.
std::string kind_word(const std::string& stem) {
  const std::string word = stem.substr(stem.find_last_of("_-. ") + 1);
  return has_digit(word) || names_modality(word) ? "" : word;
}

// The files of a folder by their stems.
using ByStem = std::multimap<std::string, const TreeEntry*>;

// The image of `mask` that `is_right` likes: beside it, of another word, with its name but for the word ("p1_t1", or "p1", of "p1_lesion"; any of "lesion").
template <class IsRight>
bool has_image(const TreeEntry& mask, const std::string& word, const ByStem& beside, IsRight is_right) {
  const std::string base = mask.stem.substr(0, mask.stem.size() - word.size());
  const auto is_image = [&](const TreeEntry& other) { return kind_word(other.stem) != word && is_right(*other.file); };
  if (!base.empty()) {
    const auto [first, last] = beside.equal_range(base.substr(0, base.size() - 1));
    if (std::any_of(first, last, [&](const auto& other) { return is_image(*other.second); })) return true;
  }
  for (auto other = beside.lower_bound(base); other != beside.end() && other->first.starts_with(base); ++other) {
    if (is_image(*other->second)) return true;
  }
  return false;
}

}  // namespace

void find_label_maps_by_values(std::vector<TreeEntry>& entries) {
  constexpr size_t kMostWords = 64, kLooked = 3;
  std::map<std::string, std::vector<TreeEntry*>> by_word;
  std::map<std::string, ByStem> by_folder;
  for (TreeEntry& entry : entries) {
    if (entry.is_mask || !entry.file->series.empty()) continue;
    by_folder[entry.folder].emplace(entry.stem, &entry);
    if (const std::string word = kind_word(entry.stem); !word.empty()) by_word[word].push_back(&entry);
  }
  size_t num_words = 0;
  for (const auto& of_word : by_word) {
    const std::string& word = of_word.first;
    const std::vector<TreeEntry*>& group = of_word.second;
    const auto lies_beside_one = [&](const TreeEntry* one) { return has_image(*one, word, by_folder[one->folder], [](const SourceFile&) { return true; }); };
    if (group.size() < 2 || !std::all_of(group.begin(), group.end(), lies_beside_one)) continue;
    if (++num_words > kMostWords) return;  // these are names, not kinds of file
    const auto seems_one = [&](const TreeEntry* one) {
      const auto size = size_of(*one->file);
      const auto is_image = [&](const SourceFile& other) { return size_of(other) == size && !holds_labels(other); };
      return size && holds_labels(*one->file) && has_image(*one, word, by_folder[one->folder], is_image);
    };
    if (!std::all_of(group.begin(), group.begin() + static_cast<std::ptrdiff_t>(std::min(group.size(), kLooked)), seems_one)) continue;
    for (TreeEntry* entry : group) {
      entry->is_mask = entry->is_mask_by_values = true;
      entry->base = entry->stem.size() > word.size() ? entry->stem.substr(0, entry->stem.size() - word.size() - 1) : "";
    }
  }
}

}  // namespace vmae::io
