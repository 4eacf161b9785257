#pragma once
// What `vmae inspect` says about each kind of thing: JSON for programs and, from the same JSON, text for people.
#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

#include "vmae/cases/label_meaning.h"
#include "vmae/inspect/inspect.h"
#include "vmae/pictures/contact_sheet.h"

namespace vmae::run {

struct Inspection {
  std::string json, text;  // without the last line's end
};

// Of a run folder, whatever is there of it: data, recipe, curve,
// machine, time, and how to go on; an object, and from it lines of text.
std::string run_json(const std::filesystem::path& folder);
std::string run_text(const std::string& json, const std::filesystem::path& folder);

Inspection inspect_prepared(const std::filesystem::path& path, const InspectArguments& arguments);
Inspection inspect_weights(const std::filesystem::path& path, const InspectArguments& arguments);
Inspection inspect_source(const std::filesystem::path& path, const InspectArguments& arguments);

// As the command line asks for it.
inline void print(const Inspection& inspection, const InspectArguments& arguments, std::ostream& out) {
  out << (arguments.as_json ? inspection.json : inspection.text) << "\n";
}

// What --png shows.
struct Look {
  std::vector<Tile> tiles;
  io::LabelRules rules;  // what masks mean, as far as the data say
};
Look look_at_prepared(const std::filesystem::path& path);
Look look_at_source(const std::filesystem::path& path);

}  // namespace vmae::run
