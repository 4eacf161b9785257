#include "vmae/cases/class_names.h"

#include <algorithm>
#include <map>

namespace vmae::io {
namespace {

constexpr std::string_view kDigits = "0123456789";

struct Decimal {
  bool is_negative = false;
  std::string whole, fraction;  // without zeros that say nothing; zero is "0" and ""
};

bool are_digits(std::string_view text) { return text.find_first_not_of(kDigits) == std::string_view::npos; }

// Whether `text` is a decimal number, and which.
bool read_decimal(std::string_view text, Decimal& number) {
  const bool has_sign = text.starts_with('-') || text.starts_with('+');
  number.is_negative = text.starts_with('-');
  if (has_sign) text.remove_prefix(1);
  const size_t dot = text.find('.');
  std::string_view whole = text.substr(0, dot), fraction = dot == std::string_view::npos ? "" : text.substr(dot + 1);
  if (!are_digits(whole) || !are_digits(fraction) || (whole.empty() && fraction.empty())) return false;
  whole.remove_prefix(std::min(whole.find_first_not_of('0'), whole.size()));
  fraction = fraction.substr(0, fraction.find_last_not_of('0') + 1);
  number.whole = whole.empty() ? "0" : std::string(whole);
  number.fraction = std::string(fraction);
  if (number.whole == "0" && number.fraction.empty()) number.is_negative = false;
  return true;
}

bool is_smaller(const Decimal& a, const Decimal& b) {
  if (a.is_negative != b.is_negative) return a.is_negative;
  const Decimal &low = a.is_negative ? b : a, &high = a.is_negative ? a : b;
  if (low.whole.size() != high.whole.size()) return low.whole.size() < high.whole.size();
  return low.whole != high.whole ? low.whole < high.whole : low.fraction < high.fraction;
}

}  // namespace

std::string class_name(std::string_view text) {
  const std::string_view name = trim(text);
  Decimal number;
  if (!read_decimal(name, number)) return std::string(name);
  return (number.is_negative ? "-" : "") + number.whole + (number.fraction.empty() ? "" : "." + number.fraction);
}

void sort_classes(std::vector<std::string>& names) {
  Decimal number;
  if (!std::all_of(names.begin(), names.end(), [&](const std::string& name) { return read_decimal(name, number); })) {
    std::sort(names.begin(), names.end());
    return;
  }
  std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    Decimal first, second;
    read_decimal(a, first);
    read_decimal(b, second);
    return is_smaller(first, second);
  });
}

std::vector<std::string> check_class_names(const std::vector<std::string>& names, const std::string& where,
                                           ExitCode code) {
  std::vector<std::string> remarks;
  std::map<std::string, std::string> seen, seen_lower;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string name = class_name(names[i]);
    if (name.empty())
      throw Error(code, concat(where, ": the name of class ", i + 1, " of ", names.size(), " is empty"),
                  "give every class a name");
    const auto [same, is_new] = seen.emplace(name, names[i]);
    if (!is_new)
      throw Error(code,
                  concat(where, ": two classes are called ", name,
                         same->second == names[i] ? "" : concat(" ('", same->second, "' and '", names[i], "')")),
                  "rename one of them, or make them one class");
    const auto [alike, is_other] = seen_lower.emplace(to_lower(name), names[i]);
    if (!is_other)
      remarks.push_back(concat("the classes '", alike->second, "' and '", names[i],
                               "' differ by the case of letters only; they are two classes"));
  }
  return remarks;
}

std::string nameless_label(int64_t value) { return concat("label ", value); }

std::string class_list(const std::vector<std::string>& names) {
  std::vector<std::string> shown;
  for (const std::string& name : names) {
    const auto number = parse_integer(name);
    shown.push_back(number ? nameless_label(*number) : name);
  }
  return join(shown, ", ");
}

}  // namespace vmae::io
