// One template makes an option of a scalar, one of a list; ValueType<T> says how a T is named, read and written.
#include "vmae/core/options.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "vmae/core/error.h"
#include "yaml_text.h"

namespace vmae {
namespace {

template <class T>
struct ValueType;

template <>
struct ValueType<bool> {
  static constexpr const char* name = "true/false";
  static constexpr const char* rule = "must be true or false (or yes, no, on, off)";
  static std::optional<bool> read(const std::string& text) {
    const std::string word = to_lower(text);
    if (word == "true" || word == "yes" || word == "on") return true;
    if (word == "false" || word == "no" || word == "off") return false;
    return std::nullopt;
  }
  static std::string write(bool value) { return value ? "true" : "false"; }
};

template <>
struct ValueType<int64_t> {
  static constexpr const char* name = "integer";
  static constexpr const char* plural = "integers";
  static constexpr const char* rule = "must be an integer";
  static std::optional<int64_t> read(const std::string& text) { return parse_integer(text); }
  static std::string write(int64_t value) { return std::to_string(value); }
};

template <>
struct ValueType<double> {
  static constexpr const char* name = "number";
  static constexpr const char* plural = "numbers";
  static constexpr const char* rule = "must be a number";
  static std::optional<double> read(const std::string& text) { return parse_number(text); }
  static std::string write(double value) { return number_text(value); }
};

template <>
struct ValueType<std::string> {
  static constexpr const char* name = "text";
  static constexpr const char* plural = "texts";
  static constexpr const char* rule = "must be a text";
  static std::optional<std::string> read(const std::string& text) {
    if (text.find('\0') != std::string::npos) return std::nullopt;  // no path, name or pattern can hold it
    return text;
  }
  static std::string write(const std::string& value) { return yaml_scalar(value); }
};

struct NoCheck {};
std::string allowed_text(NoCheck) { return ""; }
std::string allowed_text(const NumberCheck& check) { return check.text(); }
std::string allowed_text(const ChoiceCheck& check) {
  if (check.choices.empty()) return "";
  std::vector<std::string> shown;
  for (const std::string& choice : check.choices) shown.push_back(choice.empty() ? "\"\"" : choice);
  return "one of " + join(shown, ", ");
}

bool passes(NoCheck, bool) { return true; }
bool passes(const ChoiceCheck& check, const std::string& value) {
  return check.choices.empty() || std::find(check.choices.begin(), check.choices.end(), value) != check.choices.end();
}
template <class Number>
bool passes(const NumberCheck& check, Number value) {
  const auto exact = static_cast<long double>(value);  // holds every int64_t and every double
  if (check.low && (check.low_open ? exact <= *check.low : exact < *check.low)) return false;
  return !check.high || exact <= *check.high;
}

template <class Check>
std::string suggestion(const Check&, const std::string&) {
  return "";
}
std::string suggestion(const ChoiceCheck& check, const std::string& value) {
  const std::string near = did_you_mean(value, check.choices);
  return near.empty() ? "" : "; did you mean '" + near + "'?";
}

template <class T, class Check>
Option scalar_option(T& field, const Check& check) {
  Option option;
  option.type = ValueType<T>::name;
  option.allowed = allowed_text(check);
  if constexpr (std::is_same_v<Check, ChoiceCheck>) option.choices = check.choices;
  const bool is_choice = std::is_same_v<Check, ChoiceCheck> && !option.allowed.empty();
  const std::string rule =
      is_choice ? "must be " + option.allowed : std::string(trim(concat(ValueType<T>::rule, " ", option.allowed)));
  option.set = [&field, check, rule](const OptionValue& value) {
    if (value.is_list) throw std::invalid_argument(rule + ", not a list");
    const std::string text = value.is_null ? "" : value.items.at(0);
    const std::optional<T> read = ValueType<T>::read(text);
    if (!read || !passes(check, *read)) throw std::invalid_argument(rule + suggestion(check, text));
    field = *read;
  };
  option.get = [&field] { return ValueType<T>::write(field); };
  return option;
}

template <class T, class Check>
Option list_option(std::vector<T>& field, const Check& check) {
  Option option;
  option.type = concat("list of ", ValueType<T>::plural);
  const std::string allowed = allowed_text(check);
  option.allowed = allowed.empty() ? "" : "each " + allowed;
  if constexpr (std::is_same_v<Check, ChoiceCheck>) option.choices = check.choices;
  const std::string rule = concat("must be a ", option.type, allowed.empty() ? "" : ", ", option.allowed);
  option.set = [&field, check, rule](const OptionValue& value) {
    std::vector<T> values;
    for (const std::string& item : value.items) {
      const std::optional<T> read = ValueType<T>::read(item);
      if (!read || !passes(check, *read)) throw std::invalid_argument(rule + suggestion(check, item));
      values.push_back(*read);
    }
    field = std::move(values);
  };
  option.get = [&field] {
    std::vector<std::string> items;
    for (const T& value : field) items.push_back(ValueType<T>::write(value));
    return "[" + join(items, ", ") + "]";
  };
  return option;
}

Option groups_option(std::vector<NamedTexts>& field) {
  Option option;
  option.type = "list of texts, or map of lists of texts";
  option.takes_map = true;
  option.set = [&field](const OptionValue& value) {
    std::vector<NamedTexts> groups = value.groups;
    for (const std::string& item : value.items) groups.push_back({item, {item}});
    for (const NamedTexts& group : groups) {
      for (const std::string& text : group.texts) {
        if (!ValueType<std::string>::read(text))
          throw std::invalid_argument("must be a list of texts, or a map of lists of texts");
      }
    }
    field = std::move(groups);
  };
  option.get = [&field] {
    const bool is_list = std::all_of(field.begin(), field.end(),
                                     [](const NamedTexts& group) { return group.texts == std::vector{group.name}; });
    std::vector<std::string> items;
    for (const NamedTexts& group : field) {
      std::vector<std::string> texts;
      for (const std::string& text : group.texts) texts.push_back(yaml_scalar(text));
      items.push_back(is_list ? yaml_scalar(group.name)
                              : concat(yaml_scalar(group.name), ": [", join(texts, ", "), "]"));
    }
    return is_list ? "[" + join(items, ", ") + "]" : "{" + join(items, ", ") + "}";
  };
  return option;
}

}  // namespace

std::string NumberCheck::text() const {
  if (low && high) return concat("in ", low_open ? "(" : "[", number_text(*low), ", ", number_text(*high), "]");
  if (low) return (low_open ? "above " : "at least ") + number_text(*low);
  return high ? "at most " + number_text(*high) : "";
}

void Options::add(std::string_view name, bool& field, std::string_view doc) {
  add_option(name, doc, scalar_option(field, NoCheck{}));
}
void Options::add(std::string_view name, int64_t& field, std::string_view doc, NumberCheck check) {
  add_option(name, doc, scalar_option(field, check));
}
void Options::add(std::string_view name, double& field, std::string_view doc, NumberCheck check) {
  add_option(name, doc, scalar_option(field, check));
}
void Options::add(std::string_view name, std::string& field, std::string_view doc, ChoiceCheck check) {
  add_option(name, doc, scalar_option(field, check));
}
void Options::add(std::string_view name, std::vector<int64_t>& field, std::string_view doc, NumberCheck check) {
  add_option(name, doc, list_option(field, check));
}
void Options::add(std::string_view name, std::vector<double>& field, std::string_view doc, NumberCheck check) {
  add_option(name, doc, list_option(field, check));
}
void Options::add(std::string_view name, std::vector<std::string>& field, std::string_view doc, ChoiceCheck check) {
  add_option(name, doc, list_option(field, check));
}

void Options::add(std::string_view name, std::vector<NamedTexts>& field, std::string_view doc) {
  add_option(name, doc, groups_option(field));
}

const Option* Options::find(std::string_view key) const {
  const auto found =
      std::find_if(options_.begin(), options_.end(), [&](const Option& option) { return option.key == key; });
  return found == options_.end() ? nullptr : &*found;
}

std::string Options::begin_section(std::string_view name, std::string_view doc) {
  const std::string full = prefix_ + std::string(name);
  const bool is_known =
      std::any_of(sections_.begin(), sections_.end(), [&](const auto& section) { return section.first == full; });
  if (!is_known) sections_.emplace_back(full, doc);
  return std::exchange(prefix_, full + ".");
}

void Options::add_option(std::string_view name, std::string_view doc, Option option) {
  option.key = prefix_ + std::string(name);
  if (find(option.key) != nullptr) throw Error(ExitCode::internal, "the option " + option.key + " is declared twice");
  option.doc = doc;
  option.default_text = option.get();
  options_.push_back(std::move(option));
}

}  // namespace vmae
