#pragma once
// An option is declared once, beside the struct that owns it:
//  struct OptimOptions { double lr = 1e-4; ... }; void describe(Options& o, OptimOptions& v)
// { o.add("lr", v.lr, "peak learning rate, for the global batch", in_range(0.0, 10.0)); ... }
//
// The list that this builds is read by the YAML reader, the key=value overrides,
// --print-config, docs/configuration.md and "did you mean". Nothing else knows a key's name.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmae {

// Texts under one name: "tumour: [GTV_CT, GTV_PET]".
struct NamedTexts {
  std::string name;
  std::vector<std::string> texts;
  bool operator==(const NamedTexts&) const = default;
};

// A value as written by the user: one scalar, a list of scalars, null
// (no items), or a map of lists of scalars (`groups`, in its order).
struct OptionValue {
  std::vector<std::string> items;
  bool is_list = false;
  bool is_null = false;
  std::vector<NamedTexts> groups{};
  bool is_map = false;
};

// What a value may be; `text` is shown in the documentation and in the error.
struct NumberCheck {
  std::optional<double> low, high;  // inclusive
  bool low_open = false;            // low itself is not allowed
  std::string text() const;         // "in [0, 1]", "at least 1", "above 0"
};
inline NumberCheck in_range(double low, double high) { return {low, high, false}; }
inline NumberCheck at_least(double low) { return {low, std::nullopt, false}; }
inline NumberCheck above(double low) { return {low, std::nullopt, true}; }
struct ChoiceCheck {
  std::vector<std::string> choices;
};
inline ChoiceCheck one_of(std::vector<std::string> choices) { return {std::move(choices)}; }

struct Option {
  std::string key;                     // "optim.lr"
  std::string type;                    // "number", "integer", "true/false", "text", "list of numbers", ...
  std::string allowed;                 // "in [0, 10]", "one of auto, cpu, cuda", or ""
  std::vector<std::string> choices{};  // as allowed says; empty: not one of a few
  std::string doc;                     // one or two sentences, with the unit
  std::string default_text;            // as YAML, taken when the option was added
  bool takes_map = false;              // set() knows what to do with a map
  // throws std::invalid_argument("must be ..., allowed: ...") without naming key or place
  std::function<void(const OptionValue&)> set;
  // the present value as YAML; reading it back gives the same value bit for bit
  std::function<std::string()> get;
};

class Options {
 public:
  void add(std::string_view name, bool& field, std::string_view doc);
  void add(std::string_view name, int64_t& field, std::string_view doc, NumberCheck check = {});
  void add(std::string_view name, double& field, std::string_view doc, NumberCheck check = {});
  // null or "" is the empty text
  void add(std::string_view name, std::string& field, std::string_view doc, ChoiceCheck check = {});
  // check: of every element
  void add(std::string_view name, std::vector<int64_t>& field, std::string_view doc, NumberCheck check = {});
  // a scalar is a list of one
  void add(std::string_view name, std::vector<double>& field, std::string_view doc, NumberCheck check = {});
  void add(std::string_view name, std::vector<std::string>& field, std::string_view doc, ChoiceCheck check = {});
  // a list [a, b] is the map {a: [a], b: [b]}
  void add(std::string_view name, std::vector<NamedTexts>& field, std::string_view doc);

  // Everything that describe(*this, owner) adds gets the prefix "name.".
  // The owner must outlive this list, which writes to its fields.
  template <class Owner>
  void section(std::string_view name, std::string_view doc, Owner& owner) {
    const std::string outer = begin_section(name, doc);
    describe(*this, owner);
    prefix_ = outer;
  }

  const std::vector<Option>& all() const { return options_; }
  const std::vector<std::pair<std::string, std::string>>& sections() const { return sections_; }  // name, doc; in order
  const Option* find(std::string_view key) const;

 private:
  std::string begin_section(std::string_view name, std::string_view doc);  // gives the prefix before it
  void add_option(std::string_view name, std::string_view doc, Option option);
  std::string prefix_;
  std::vector<Option> options_;
  std::vector<std::pair<std::string, std::string>> sections_;
};

}  // namespace vmae
