#include "vmae/cases/label_meaning.h"

#include <algorithm>
#include <set>

#include "vmae/core/error.h"

namespace vmae::io {
namespace {

constexpr int64_t kMostClasses = 254;   // 0 is the background, 255 what is ignored
constexpr int64_t kMostNameless = 128;  // more different values are shades of grey; TotalSegmentator has 117 structures

std::string option(const LabelRules& rules, const char* key) {
  std::string name = key;
  if (!rules.is_command_line) return rules.section + "." + name;
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

std::string list_text(const std::vector<int64_t>& values) {
  std::vector<std::string> texts;
  for (const int64_t value : values) texts.push_back(std::to_string(value));
  return join(texts, ", ");
}

// "data.label_values=[1, 2]", "--label-values 1,2"
std::string assignment(const LabelRules& rules, const std::vector<int64_t>& values) {
  std::string text = list_text(values);
  std::erase(text, ' ');
  return rules.is_command_line ? option(rules, "label_values") + " " + text
                               : concat(option(rules, "label_values"), "=[", text, "]");
}

// Values other than the background's and the ignored one.
std::vector<int64_t> foreground_values(const LabelFacts& facts, int64_t ignore) {
  std::vector<int64_t> values;
  for (int64_t value = 1; value < 256; ++value) {
    if (value != ignore && facts.voxels[static_cast<size_t>(value)] > 0) values.push_back(value);
  }
  return values;
}

void check(const LabelRules& rules) {
  const std::string key = option(rules, "label_values");
  const auto fail = [](const std::string& what, const std::string& hint) { throw Error(ExitCode::usage, what, hint); };
  if (rules.ignore == 0) fail(option(rules, "ignore_label") + " is 0, which is the background", "use another value");
  if (!rules.values.empty() && !rules.names.empty() && rules.values.size() != rules.names.size()) {
    fail(concat(key, " has ", rules.values.size(), " values for ", rules.names.size(), " classes (",
                join(rules.names, ", "), ")"),
         "give one value for each class, in the order of the classes");
  }
  const std::string classes = option(rules, "classes");
  for (size_t i = 0; i < rules.names.size(); ++i) {
    const auto own =
        std::find(rules.own_names.begin(), rules.own_names.end(), rules.names[i]) - rules.own_names.begin();
    const int64_t value = rules.values.empty() ? static_cast<int64_t>(i) + 1 : rules.values[i];
    if (own == std::ssize(rules.own_names) || own + 1 == value) continue;
    fail(concat(classes, " calls the value ", value, " ", rules.names[i], ", but the dataset calls so the value ",
                own + 1, " (its values 1, 2, ... are ", join(rules.own_names, ", "), ")"),
         concat("name the classes in the order of their values, or leave ", classes, " out"));
  }
  std::set<int64_t> seen;
  for (const int64_t value : rules.values) {
    if (value < 1 || value > 255)
      fail(concat(key, " holds ", value), "mask values of classes are 1 to 255; 0 is the background");
    if (value == rules.ignore)
      fail(concat(key, " holds ", value, ", which is also ", option(rules, "ignore_label")),
           "leave it out of one of them");
    if (!seen.insert(value).second) fail(concat(key, " holds ", value, " twice"), "give one value for each class");
  }
  const auto count = static_cast<int64_t>(std::max(rules.names.size(), rules.values.size()));
  if (count > kMostClasses) fail(concat(count, " classes; at most ", kMostClasses, " are possible"), "leave some out");
}

// Rule 5 without names: a numbering has few gaps.
void require_numbering(const LabelRules& rules, const LabelFacts& facts, const std::vector<int64_t>& values) {
  if (std::ssize(values) > kMostNameless)
    throw Error(ExitCode::data,
                concat("the masks hold ", values.size(), " different values from 1 to ", values.back(), " (",
                       values.back(), " first in ", facts.first[static_cast<size_t>(values.back())],
                       "): shades of grey, as smooth edges or resizing make them, rather than labels"),
                concat("make the masks anew (resized without interpolation, or thresholded); if these are classes "
                       "indeed, name them: ",
                       option(rules, "classes")));
  if (values.empty() || (values.back() <= kMostClasses && values.back() <= 2 * static_cast<int64_t>(values.size()) + 8))
    return;
  throw Error(ExitCode::data,
              concat("the masks hold the values ", list_text(values), " (", values.back(), " first in ",
                     facts.first[static_cast<size_t>(values.back())], "): they are not numbered from 1"),
              concat("say what they mean: ", assignment(rules, values), " makes them the classes 1, 2, ...; ",
                     option(rules, "ignore_label"), " leaves one out of account"));
}

void require_classes(const LabelRules& rules, const LabelFacts& facts, const LabelMeaning& meaning,
                     const std::vector<int64_t>& values) {
  for (const int64_t value : values) {
    if (meaning.class_of[static_cast<size_t>(value)] != 0) continue;
    std::vector<std::string> classes{"0 background"};
    for (size_t i = 0; i < meaning.names.size(); ++i) {
      const auto of_class =
          std::find_if(meaning.class_of.begin(), meaning.class_of.end(), [&](uint8_t c) { return c == i + 1; });
      const std::string number = std::to_string(of_class - meaning.class_of.begin());
      classes.push_back(number == meaning.names[i] ? number : number + " " + meaning.names[i]);
    }
    throw Error(ExitCode::data,
                concat(facts.first[static_cast<size_t>(value)], " holds the value ", value,
                       ", but there are classes 0 to ", meaning.names.size(), " (", join(classes, ", "), ")"),
                concat("correct the mask, name all classes in ", option(rules, "classes"), ", list their values in ",
                       option(rules, "label_values"), ", or set ", option(rules, "ignore_label"), " to that value"));
  }
}

}  // namespace

LabelCounts count_labels(const uint8_t* labels, size_t size) {
  LabelCounts counts{};
  for (size_t i = 0; i < size; ++i) ++counts[labels[i]];
  return counts;
}

void LabelFacts::add(const LabelCounts& counts, const std::string& name) {
  ++num_masks;
  for (size_t value = 0; value < counts.size(); ++value) {
    if (counts[value] > 0 && voxels[value] == 0) first[value] = name;
    voxels[value] += counts[value];
  }
}

void LabelMeaning::apply(uint8_t* labels, size_t size) const {
  for (size_t i = 0; i < size; ++i) labels[i] = class_of[labels[i]];
}

std::vector<std::string> names_of_classes(const std::vector<std::string>& own_names,
                                          const std::vector<int64_t>& values) {
  if (values.empty() || own_names.empty()) return own_names;
  std::vector<std::string> names;
  for (const int64_t value : values)
    names.push_back(value >= 1 && value <= std::ssize(own_names) ? own_names[static_cast<size_t>(value - 1)]
                                                                 : std::to_string(value));
  return names;
}

std::vector<std::string> region_rules(const std::vector<LabelRegion>& regions, const std::string& how_learnt) {
  std::vector<std::string> rules;
  for (const LabelRegion& region : regions) {
    if (region.values.size() < 2) continue;
    std::vector<std::string> values;
    for (const int64_t value : region.values) values.push_back(std::to_string(value));
    rules.push_back(concat("region ", region.name, " is wherever a mask holds ", join(values, " or "),
                           how_learnt.empty() ? "" : ": " + how_learnt, "; vmae eval measures the region"));
  }
  return rules;
}

LabelMeaning label_meaning(const LabelRules& given, const LabelFacts& facts) {
  LabelRules rules = given;
  if (rules.names.empty()) rules.names = names_of_classes(rules.own_names, rules.values);
  check(rules);
  const std::vector<int64_t> found = foreground_values(facts, rules.ignore);
  LabelMeaning meaning;
  meaning.names = rules.names;
  std::vector<int64_t> in_files = rules.values;
  const bool is_binary = in_files.empty() && rules.names.size() <= 1 && found == std::vector<int64_t>{255};
  if (!in_files.empty()) {
    meaning.rules.push_back(
        concat(assignment(rules, in_files), ": these values are the classes 1 to ", in_files.size()));
  } else if (is_binary) {
    in_files = {255};
    meaning.rules.emplace_back("all masks together hold 0 and 255 alone: 255 is class 1");
  } else {
    if (rules.names.empty()) require_numbering(rules, facts, found);
    int64_t count = found.empty() ? 0 : found.back();
    if (!rules.names.empty()) count = static_cast<int64_t>(rules.names.size());
    if (rules.ignore > 0 && rules.ignore <= count)
      throw Error(ExitCode::usage, concat(option(rules, "ignore_label"), " = ", rules.ignore, " is also a class"),
                  concat("name the classes in ", option(rules, "classes"), ", or use another value"));
    for (int64_t value = 1; value <= count; ++value) in_files.push_back(value);
  }
  for (size_t i = 0; i < in_files.size(); ++i) {
    meaning.class_of[static_cast<size_t>(in_files[i])] = static_cast<uint8_t>(i + 1);
    const std::string number = std::to_string(is_binary ? 1 : in_files[i]);
    if (meaning.names.size() <= i) meaning.names.push_back(number);
    if (meaning.names[i].empty()) meaning.names[i] = number;
  }
  if (rules.ignore >= 0) {
    meaning.ignore = kIgnored;
    meaning.class_of[static_cast<size_t>(rules.ignore)] = kIgnored;
    meaning.rules.push_back(concat("value ", rules.ignore, " is ignored: it is no class and counts nowhere"));
  }
  require_classes(rules, facts, meaning, found);
  for (size_t value = 0; value < meaning.class_of.size(); ++value) {
    if (facts.voxels[value] > 0 && meaning.class_of[value] != value) meaning.keeps_values = false;
  }
  return meaning;
}

}  // namespace vmae::io
