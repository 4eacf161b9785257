// The data card of a source, by parts, without training.
#include <map>

#include "kinds.h"
#include "vmae/cases/label_meaning.h"
#include "vmae/cases/mask_numbering.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/data/label_census.h"
#include "vmae/pictures/data_card.h"
#include "vmae/prepared/prepared.h"
#include "vmae/sources/source.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

std::string name_of_part(const std::string& split, size_t num_parts) {
  if (split.empty()) return num_parts > 1 ? "training" : "all";
  if (split == "train") return "training";
  return split == "val" ? "validation" : split;
}

}  // namespace

void inspect_card(const InspectArguments& arguments) {
  const fs::path &path = arguments.path, &folder = arguments.card;
  const io::Source source = io::find_source(path);
  const int64_t ignore = io::ignored_value(arguments.ignore_label, source.ignore_label);
  DataCard card{.layouts = {source.layout}, .label_names = source.label_names, .is_multi_label = source.is_multi_label};
  card.left_out = source.refused;
  card.remarks = source.remarks;
  card.identifying = source.identifying;
  std::map<std::string, std::vector<io::SourceFile>> parts;
  for (const io::SourceFile& file : source.files) parts[file.split].push_back(file);
  bool has_masks = false;
  for (const io::SourceFile& file : source.files) has_masks |= !file.mask.empty();
  if (source.layout == "prepared") has_masks = io::PreparedDataset(path).info().has_masks;
  const auto quarantine = std::make_shared<data::Quarantine>("", /*max_bad_fraction=*/1.0);
  io::LabelFacts facts;
  for (auto& [split, files] : parts) {
    CardPart part{.name = name_of_part(split, parts.size()), .files = std::move(files)};
    std::vector<io::SourceFile> shown = part.files;
    if (has_masks && source.layout != "prepared")
      std::erase_if(shown, [](const io::SourceFile& file) { return file.mask.empty(); });
    if (shown.size() < part.files.size())
      card.remarks.push_back(
          {"", concat("part ", part.name, ": ", part.files.size() - shown.size(), " of ", part.files.size(),
                      " cases have no mask; their slices are neither counted nor shown")});
    if (!shown.empty())
      part.dataset = std::make_shared<const data::Dataset>(std::move(shown), data::ImageOptions{}, quarantine);
    if (has_masks && part.dataset) {
      part.census = std::make_shared<const data::LabelCensus>(data::take_census(*part.dataset, ignore));
      data::add_facts(*part.census, *part.dataset, facts);
    }
    card.parts.push_back(std::move(part));
  }
  if (has_masks) {
    io::LabelRules rules{
        .own_names = source.mask_names, .values = arguments.label_values, .ignore = ignore, .is_command_line = true};
    io::check_numbering(source.files, source.mask_names);
    const std::vector<std::string> structures = io::structure_names(source.files, source.mask_names);
    if (rules.own_names.empty()) rules.own_names = structures;
    card.meaning = io::label_meaning(rules, facts);
    for (std::string& rule : io::region_rules(source.regions)) card.meaning->rules.push_back(std::move(rule));
  }
  for (auto& [name, reason] : quarantine->take_news(/*epoch=*/-1))
    card.left_out.push_back({std::move(name), std::move(reason)});
  write_data_card(folder, card);
  log::info("data card written to " + (folder / "card.html").string());
}

}  // namespace vmae::run
