#pragma once
// One self-contained HTML page: style inline, pictures as data, no
// script, no network. Readable on a phone, printable, in light and dark.
#include <string>
#include <vector>

#include "vmae/report/figures.h"
#include "vmae/report/table.h"

namespace vmae::report {

struct Picture {
  std::string png{};  // bytes
  std::string caption{}, alternative_text{};
};

// Pictures of one thing side by side, each with its own caption: image, truth, predictions.
struct PictureRow {
  std::string caption{};
  std::vector<Picture> pictures{};
};

struct Section {
  std::string title{};
  std::vector<std::string> paragraphs{};  // plain text
  std::vector<Table> tables{};
  std::vector<Figure> figures{};
  std::vector<Picture> pictures{};
  std::vector<std::pair<std::string, std::string>> listings{};  // title and text (config, splits), folded away
  std::vector<std::pair<std::string, std::string>> legend{};    // of the pictures: name and colour ("#e69f00")
  std::vector<PictureRow> rows{};
};

struct Page {
  std::string title{}, summary{};                            // the summary is the headline: one or two sentences
  std::vector<std::pair<std::string, std::string>> facts{};  // "cases": "52 from 52 patients"
  std::vector<Section> sections{};                           // with a table of contents
  std::string footer{};
};

std::string to_html(const Page& page);

}  // namespace vmae::report
