#pragma once
// The data card: what a dataset was taken to be, for a person to look
// at before a result is believed. docs/data.md, "The data card".
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "vmae/cases/label_meaning.h"
#include "vmae/data/label_census.h"

namespace vmae::run {

struct CardPart {
  std::string name{};  // training, validation, test, all
  std::vector<io::SourceFile> files{};
  // Its samples, and what their masks hold (as values of the files); null: not looked at.
  std::shared_ptr<const data::Dataset> dataset{};
  std::shared_ptr<const data::LabelCensus> census{};
};

struct DataCard {
  std::vector<std::string> layouts{};  // of the sources
  std::vector<CardPart> parts{};
  std::optional<io::LabelMeaning> meaning{};  // none: no masks are used
  std::vector<std::string> label_names{};     // classes or findings of a classification
  bool is_multi_label = false;
  std::vector<io::SourceRemark> left_out{}, remarks{};
  std::string seen_before{};               // of validation and test images: SeenBefore::text; empty: nothing to say
  bool was_seen = false;                   // some were
  std::vector<std::string> identifying{};  // texts that must not be written
};

// Writes DIR/card.json, card.html (with a contact sheet of up to 24 images: with
// masks spread over the classes, largest, smallest and empty ones) and masks.png,
// the sheet alone. Throws Error(internal) if the folder can't be written.
void write_data_card(const std::filesystem::path& folder, const DataCard& card);

}  // namespace vmae::run
