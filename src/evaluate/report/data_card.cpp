// The data card of a run, as it stands in a report of its results.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "output.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

std::string text_of(const nlohmann::json& json) {
  if (json.is_null()) return "not known";
  return json.is_string() ? json.get<std::string>() : json.dump();
}

report::Table parts_of(const nlohmann::json& card) {
  report::Table table{.name = "data_parts",
                      .caption = "Parts",
                      .columns = {"part", "cases", "patients", "images"},
                      .is_number = {false, true, true, true}};
  for (const auto& part : card.at("parts")) {
    const int64_t unknown = part.value("cases_of_unknown_patients", int64_t{0});
    std::string patients = text_of(part.at("patients"));
    if (unknown > 0) patients += concat(" (", unknown, unknown == 1 ? " case" : " cases", ": not known)");
    table.rows.push_back({text_of(part.at("part")), text_of(part.at("cases")), patients, text_of(part.at("images"))});
  }
  return table;
}

report::Section data_section(const fs::path& data_card) {
  report::Section section;
  const fs::path file = data_card / "card.json";
  try {
    const auto card = nlohmann::json::parse(read_file(file));
    for (const char* key : {"pairing", "rules"}) {
      for (const auto& text : card.value(key, nlohmann::json::array())) section.paragraphs.push_back(text_of(text));
    }
    section.tables.push_back(parts_of(card));
    section.paragraphs.push_back(
        concat(card.at("left_out").size(), " files were left out. The run's data_card/card.html has the rest."));
  } catch (const nlohmann::json::exception& error) {
    fail_file(file, concat("is not a data card: ", error.what()), "remove it: the report then goes without");
  }
  if (fs::exists(data_card / "masks.png"))
    section.pictures.push_back({read_file(data_card / "masks.png"), "Images of the training data, masks as outlines.",
                                "Contact sheet of training images."});
  return section;
}

bool say_the_same(const report::Section& a, const report::Section& b) {
  return a.paragraphs == b.paragraphs && a.tables[0].rows == b.tables[0].rows &&
         a.pictures.size() == b.pictures.size() && (a.pictures.empty() || a.pictures[0].png == b.pictures[0].png);
}

}  // namespace

std::vector<report::Section> data_sections(const std::vector<EvalModel>& models) {
  std::vector<report::Section> sections;
  std::vector<std::vector<std::string>> names;  // of each section's models
  for (const EvalModel& model : models) {
    if (model.data_card.empty()) continue;
    report::Section section = data_section(model.data_card);
    const auto same = std::find_if(sections.begin(), sections.end(),
                                   [&](const report::Section& other) { return say_the_same(section, other); });
    const auto at = static_cast<size_t>(same - sections.begin());
    if (same == sections.end()) {
      sections.push_back(std::move(section));
      names.emplace_back();
    }
    names[at].push_back(model.name);
  }
  for (size_t i = 0; i < sections.size(); ++i) sections[i].title = "Data of " + join(names[i], ", ");
  return sections;
}

}  // namespace vmae::run
