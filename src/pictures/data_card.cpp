#include "vmae/pictures/data_card.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "vmae/cases/class_names.h"
#include "vmae/cases/time_points.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/json_text.h"
#include "vmae/core/spread.h"
#include "vmae/core/version.h"
#include "vmae/image/picture.h"
#include "vmae/pictures/class_colours.h"
#include "vmae/pictures/contact_sheet.h"
#include "vmae/prepared/mask.h"
#include "vmae/report/page.h"
#include "vmae/sources/case_names.h"
#include "vmae/sources/patients.h"

namespace vmae::run {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

constexpr size_t kTiles = 24, kMostEmpty = 4, kShownNames = 200;

// Which rule found the mask of an image (include/vmae/sources/source.h).
std::string pairing_of(const std::string& layout) {
  if (layout == "manifest") return "manifest: the mask column of the image's row";
  if (layout == "nnunet") return "nnU-Net: labelsTr/CASE of imagesTr/CASE_0000, labelsTs/CASE of imagesTs/CASE_0000";
  if (layout == "decathlon") return "Decathlon: as dataset.json lists them";
  if (layout == "image_mask_folders")
    return "folders: the same path and name below the images and the masks, without the ending";
  if (layout == "dicom") return "DICOM: the RTSTRUCT or SEG that refers to the series";
  if (layout == "prepared") return "prepared dataset: as it was prepared";
  if (layout == "files") return "files: the label map that is named for the image, or is the only one of its patient";
  return layout + ": no masks";
}

struct ClassCount {
  int64_t cases = 0, images = 0, pixels = 0;
};

struct PartCounts {
  int64_t cases = 0, with_mask = 0, images = 0, empty_images = 0;
  bool has_images = false, has_classes = false;  // they were counted
  io::PatientCount patients;
  std::vector<ClassCount> classes;
};

// What a slice's mask holds, by class.
std::map<size_t, int64_t> pixels_by_class(const data::LabelCensus& census, size_t sample,
                                          const io::LabelMeaning& meaning) {
  std::map<size_t, int64_t> pixels;
  for (const auto& [value, count] : census.samples[sample]) pixels[meaning.class_of[value]] += count;
  pixels.erase(0);
  pixels.erase(io::kIgnored);
  return pixels;
}

// Time points are cases of their own, as they are for the dataset.
CardPart with_time_points(CardPart part) {
  std::set<int64_t> cases;
  for (int64_t sample = 0; part.dataset && sample < part.dataset->size(); ++sample)
    cases.insert(part.dataset->case_number(sample));
  if (cases.size() > part.files.size()) part.files = io::with_time_points(part.files);
  return part;
}

PartCounts count(const CardPart& given, const DataCard& card) {
  const CardPart part = with_time_points(given);
  PartCounts counts;
  counts.cases = static_cast<int64_t>(part.files.size());
  std::map<fs::path, std::unique_ptr<const io::PreparedDataset>> prepared;
  for (const io::SourceFile& file : part.files) {
    counts.patients.add(file);
    auto& dataset = prepared[file.prepared_case >= 0 ? file.path : ""];
    if (file.prepared_case >= 0 && !dataset) dataset = std::make_unique<const io::PreparedDataset>(file.path);
    const bool has_mask = dataset ? io::has_mask(*dataset, dataset->read_case(file.prepared_case)) : !file.mask.empty();
    counts.with_mask += has_mask ? 1 : 0;
  }
  counts.has_images = part.dataset != nullptr;
  if (part.dataset) counts.images = part.dataset->size();
  counts.has_classes = !card.meaning || (part.census && part.dataset);
  if (!card.meaning) {
    counts.classes.resize(card.label_names.size());
    for (const io::SourceFile& file : part.files) {
      for (size_t k = 0; k < file.labels.size() && k < counts.classes.size(); ++k)
        counts.classes[k].cases += file.labels[k] > 0.5F ? 1 : 0;
    }
    return counts;
  }
  counts.classes.resize(card.meaning->names.size());
  if (!counts.has_classes) return counts;
  std::vector<std::set<int64_t>> cases(counts.classes.size());
  std::set<int64_t> unusable;
  for (size_t sample = 0; sample < part.census->samples.size(); ++sample) {
    if (part.census->is_unusable[sample]) {  // which they are is listed as left out
      unusable.insert(part.dataset->case_number(static_cast<int64_t>(sample)));
      --counts.images;
      continue;
    }
    const auto pixels = pixels_by_class(*part.census, sample, *card.meaning);
    counts.empty_images += pixels.empty() ? 1 : 0;
    for (const auto& [of_class, number] : pixels) {
      ClassCount& one = counts.classes[of_class - 1];
      one.pixels += number;
      ++one.images;
      cases[of_class - 1].insert(part.dataset->case_number(static_cast<int64_t>(sample)));
    }
  }
  for (size_t k = 0; k < cases.size(); ++k) counts.classes[k].cases = static_cast<int64_t>(cases[k].size());
  counts.with_mask -= std::ssize(unusable);
  return counts;
}

struct Shown {
  const CardPart* part;
  size_t sample;
  std::string what;  // "liver, 512 pixels"
};

// Largest, smallest, then those between them: 0, n - 1, n / 2, n / 4, 3 n / 4, ...
std::vector<size_t> from_the_ends_inwards(size_t n) {
  std::vector<size_t> order;
  std::vector<bool> is_taken(n, false);
  const auto take = [&](size_t i) {
    if (!is_taken[i]) order.push_back(i);
    is_taken[i] = true;
  };
  if (n > 0) {
    take(0);
    take(n - 1);
  }
  for (size_t parts = 2; order.size() < n && parts <= 2 * n; parts *= 2) {
    for (size_t k = 1; k < parts; k += 2) take(k * n / parts);
  }
  return order;
}

// Slices with masks: class by class, and then some without any foreground.
std::vector<Shown> choose(const DataCard& card) {
  std::vector<Shown> all, empty, chosen;
  // pixels, number in `all`
  std::vector<std::vector<std::pair<int64_t, size_t>>> by_class(card.meaning ? card.meaning->names.size() : 0);
  for (const CardPart& part : card.parts) {
    if (!part.dataset) continue;
    for (size_t sample = 0; sample < static_cast<size_t>(part.dataset->size()); ++sample) {
      if (!card.meaning || !part.census) {
        all.push_back({&part, sample, ""});
        continue;
      }
      const auto pixels = pixels_by_class(*part.census, sample, *card.meaning);
      if (pixels.empty()) empty.push_back({&part, sample, "empty"});
      if (pixels.empty()) continue;
      for (const auto& [of_class, number] : pixels) by_class[of_class - 1].emplace_back(number, all.size());
      all.push_back({&part, sample, ""});
    }
  }
  if (!card.meaning) {
    for (const int64_t i : evenly_spread(std::ssize(all), kMaxTiles)) {
      if (chosen.size() < kTiles) chosen.push_back(all[static_cast<size_t>(i)]);
    }
    return chosen;
  }
  const size_t num_empty = std::min(empty.size(), kMostEmpty);
  std::vector<std::vector<size_t>> orders;
  for (auto& list : by_class) {
    std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    orders.push_back(from_the_ends_inwards(list.size()));
  }
  std::set<size_t> taken;
  for (size_t round = 0; round < all.size() && chosen.size() + num_empty < kTiles; ++round) {
    for (size_t k = 0; k < by_class.size() && chosen.size() + num_empty < kTiles; ++k) {
      if (round >= orders[k].size()) continue;
      const auto& [pixels, number] = by_class[k][orders[k][round]];
      if (!taken.insert(number).second) continue;
      chosen.push_back(all[number]);
      const std::string& name = card.meaning->names[k];
      chosen.back().what = concat(parse_integer(name) ? "class " : "", name, ", ", pixels, " px");
    }
  }
  for (const int64_t i : evenly_spread(std::ssize(empty), static_cast<int64_t>(num_empty)))
    chosen.push_back(empty[static_cast<size_t>(i)]);
  return chosen;
}

// The slice as it is stored, in units, with its classes. Empty if it can't be read.
Tile tile_of(const Shown& shown, const DataCard& card, size_t number) {
  data::SliceBuffer buffer;
  Tile tile{{1, 1, 1, {0}, 0}, {}, {}, 1.0, concat(number, " can't be read")};
  try {
    const data::Slice slice =
        shown.part->dataset->read(static_cast<int64_t>(shown.sample), /*with_mask=*/card.meaning.has_value(), buffer);
    tile.image = {slice.height, slice.width, slice.channels, {}, 0};
    const auto count = static_cast<size_t>(slice.height * slice.width * slice.channels);
    tile.image.pixels.resize(count);
    io::visit(slice.type, [&]<class T>(T) {
      const T* from = static_cast<const T*>(slice.pixels);
      for (size_t i = 0; i < count; ++i)
        tile.image.pixels[i] =
            static_cast<float>(slice.scaling.slope * static_cast<double>(from[i]) + slice.scaling.intercept);
    });
    tile.range = slice.range;
    if (slice.mask != nullptr) tile.mask.assign(slice.mask, slice.mask + slice.height * slice.width);
    for (uint8_t& label : tile.mask) label = card.meaning->class_of[label];
    tile.caption = concat(number, shown.what.empty() ? "" : ": " + shown.what);
  } catch (const Error& error) {
    if (error.code() != ExitCode::data) throw;  // its file is among those that were left out, with the reason
  }
  return tile;
}

class Card {
 public:
  explicit Card(const DataCard& card) : card_(card), left_out_(card.left_out), shown_(choose(card)) {
    std::set<fs::path> datasets;
    for (const CardPart& part : card.parts) {
      for (const io::SourceFile& file : part.files) {
        if (file.prepared_case < 0 || !datasets.insert(file.path).second) continue;
        const std::vector<io::SourceRemark> own = io::left_out_of(file.path);
        left_out_.insert(left_out_.end(), own.begin(), own.end());
      }
    }
    for (const CardPart& part : card.parts) counts_.push_back(count(part, card));
    std::vector<Tile> tiles;
    for (size_t i = 0; i < shown_.size(); ++i) tiles.push_back(tile_of(shown_[i], card, i + 1));
    if (tiles.empty()) return;
    std::set<uint8_t> labels;
    for (const Tile& tile : tiles) labels.insert(tile.mask.begin(), tile.mask.end());
    if (card.meaning) legend_ = legend_of(labels, card.meaning->names);
    io::Image sheet = contact_sheet(tiles);
    sheet_ = io::encode_png(sheet);
    draw_legend(sheet, legend_);
    sheet_with_legend_ = io::encode_png(sheet);
  }

  const std::string& sheet() const { return sheet_with_legend_; }

  Json json() const {
    Json json = {{"vmae_version", version()}, {"layouts", card_.layouts}, {"pairing", pairings()}};
    for (size_t p = 0; p < counts_.size(); ++p) {
      const PartCounts& part = counts_[p];
      const auto if_counted = [](bool is_counted, int64_t number) { return is_counted ? Json(number) : Json(nullptr); };
      Json one = {{"part", card_.parts[p].name},
                  {"cases", part.cases},
                  {"patients", part.patients.number() ? Json(*part.patients.number()) : Json(nullptr)},
                  {"images", if_counted(part.has_images, part.images)}};
      if (part.patients.number() && part.patients.num_unknown() > 0)
        one["cases_of_unknown_patients"] = part.patients.num_unknown();
      if (card_.meaning)
        one.update({{"cases_with_mask", part.with_mask},
                    {"images_without_foreground", if_counted(part.has_classes, part.empty_images)}});
      for (size_t k = 0; k < part.classes.size(); ++k) {
        Json of_class = {{"class", names()[k]}, {"cases", if_counted(part.has_classes, part.classes[k].cases)}};
        if (card_.meaning)
          of_class.update({{"images", if_counted(part.has_classes, part.classes[k].images)},
                           {"pixels", if_counted(part.has_classes, part.classes[k].pixels)}});
        one["classes"].push_back(of_class);
      }
      json["parts"].push_back(one);
    }
    if (card_.meaning) {
      json["classes"] = card_.meaning->names;
      json["rules"] = card_.meaning->rules;
      for (const Value& value : values())
        json["mask_values"].push_back({{"value", value.value}, {"pixels", value.pixels}, {"means", value.means}});
    } else if (!card_.label_names.empty()) {
      json[card_.is_multi_label ? "findings" : "classes"] = card_.label_names;
    }
    for (size_t i = 0; i < shown_.size(); ++i)
      json["shown"].push_back({{"tile", i + 1}, {"image", id_of(shown_[i])}, {"what", shown_[i].what}});
    if (!card_.seen_before.empty()) json["seen_before"] = {{"some", card_.was_seen}, {"text", card_.seen_before}};
    json["left_out"] = list(left_out_);
    json["remarks"] = list(card_.remarks);
    for (const CardPart& part : card_.parts) {
      for (const io::SourceFile& file : part.files) {
        if (!file.mask.empty())
          json["pairs"].push_back({{"part", part.name}, {"image", safe(file.name)}, {"mask", safe(mask_name(file))}});
      }
    }
    return json;
  }

  report::Page page() const {
    report::Page page{.title = "Data card", .footer = concat("vmae ", version(), " (", git_revision(), ")")};
    int64_t cases = 0;
    for (const PartCounts& part : counts_) cases += part.cases;
    page.summary = "What the files were taken to be. Look at the masks: are they in their places, and of these images?";
    page.facts.emplace_back("Cases", std::to_string(cases));
    io::PatientCount patients;
    for (const CardPart& part : card_.parts) {
      for (const io::SourceFile& file : part.files) patients.add(file);
    }
    page.facts.emplace_back(
        "Patients", patients.number_text() + (patients.number() ? "" : ": each case counts as a patient of its own"));
    if (!card_.seen_before.empty()) page.facts.emplace_back("Pretraining", card_.seen_before);
    page.facts.emplace_back("Image and mask are paired by", join(pairings(), "; "));
    if (card_.meaning) page.facts.emplace_back("Classes", io::class_list(card_.meaning->names));
    report::Section parts{.title = "Parts and classes", .tables = {parts_table()}};
    if (!names().empty()) parts.tables.push_back(class_table());
    page.sections.push_back(std::move(parts));
    if (card_.meaning) {
      report::Section rules{
          .title = "What mask values mean", .paragraphs = card_.meaning->rules, .tables = {value_table()}};
      if (rules.paragraphs.empty())
        rules.paragraphs.emplace_back("Value 0 is the background, value 1 the first class, and so on.");
      page.sections.push_back(std::move(rules));
    }
    if (!sheet_.empty()) {
      report::Section pictures{.title = card_.meaning ? "Masks" : "Images"};
      pictures.pictures.push_back(
          {sheet_,
           card_.meaning
               ? "Masks as outlines, a colour for each class: large and small ones of every class, and images without."
               : "Images, spread over the dataset.",
           "Contact sheet of images; the table below names them."});
      for (const LegendEntry& entry : legend_) pictures.legend.emplace_back(entry.name, css_colour(entry.colour));
      page.sections.push_back(std::move(pictures));
      page.sections.push_back({.title = "What is shown", .tables = {shown_table()}});
    }
    report::Section rest{.title = "Left out, and remarks"};
    if (left_out_.empty() && card_.remarks.empty()) rest.paragraphs.emplace_back("Nothing.");
    if (!left_out_.empty())
      rest.listings.emplace_back(concat(left_out_.size(), left_out_.size() == 1 ? " file left out" : " files left out"),
                                 text(left_out_));
    if (!card_.remarks.empty())
      rest.listings.emplace_back(concat(card_.remarks.size(), card_.remarks.size() == 1 ? " remark" : " remarks"),
                                 text(card_.remarks));
    page.sections.push_back(std::move(rest));
    return page;
  }

 private:
  struct Value {
    size_t value;
    int64_t pixels;
    std::string means;
  };

  const std::vector<std::string>& names() const { return card_.meaning ? card_.meaning->names : card_.label_names; }
  std::string safe(const std::string& text) const { return io::without(text, card_.identifying); }
  std::string id_of(const Shown& shown) const {
    return safe(shown.part->dataset->id(static_cast<int64_t>(shown.sample)));
  }

  // The mask's path as the image's is given, where both lie below one folder.
  static std::string mask_name(const io::SourceFile& file) {
    const fs::path folder = file.path.parent_path(), below = fs::path(file.name).parent_path();
    const std::string root = folder.generic_string(), end = below.generic_string();
    if (!end.empty() && !root.ends_with(end)) return file.mask.filename().string();
    return file.mask.lexically_relative(root.substr(0, root.size() - end.size())).generic_string();
  }

  std::vector<std::string> pairings() const {
    std::vector<std::string> texts;
    for (const std::string& layout : card_.layouts) {
      const std::string rule = pairing_of(layout);
      if (std::find(texts.begin(), texts.end(), rule) == texts.end()) texts.push_back(rule);
    }
    return texts;
  }

  std::string class_text(uint8_t of_class) const {
    if (of_class == 0) return "background";
    if (of_class == io::kIgnored) return "ignored";
    return "class " + card_.meaning->names[of_class - 1U];
  }

  std::vector<Value> values() const {
    std::vector<Value> values;
    for (size_t value = 0; value < 256; ++value) {
      int64_t pixels = 0;
      for (const CardPart& part : card_.parts) pixels += part.census ? part.census->num_pixels[value] : 0;
      if (pixels > 0) values.push_back({value, pixels, class_text(card_.meaning->class_of[value])});
    }
    return values;
  }

  Json list(const std::vector<io::SourceRemark>& remarks) const {
    Json json = Json::array();
    for (const io::SourceRemark& remark : remarks)
      json.push_back({{"name", safe(remark.name)}, {"text", safe(remark.text)}});
    return json;
  }

  std::string text(const std::vector<io::SourceRemark>& remarks) const {
    std::string lines;
    for (size_t i = 0; i < std::min(remarks.size(), kShownNames); ++i)
      lines += concat(safe(remarks[i].name), remarks[i].name.empty() ? "" : ": ", safe(remarks[i].text), "\n");
    if (remarks.size() > kShownNames)
      lines += concat("and ", remarks.size() - kShownNames, " more (card.json has all)\n");
    return lines;
  }

  report::Table parts_table() const {
    report::Table table{.name = "parts", .caption = "Parts", .columns = {"part", "cases", "patients", "images"}};
    if (card_.meaning) table.columns.insert(table.columns.end(), {"cases with a mask", "images without foreground"});
    for (size_t p = 0; p < counts_.size(); ++p) {
      const PartCounts& part = counts_[p];
      table.rows.push_back({card_.parts[p].name, std::to_string(part.cases), part.patients.number_text(),
                            part.has_images ? std::to_string(part.images) : "-"});
      if (!card_.meaning) continue;
      table.rows.back().push_back(std::to_string(part.with_mask));
      table.rows.back().push_back(part.has_classes ? std::to_string(part.empty_images) : "-");
    }
    table.is_number.assign(table.columns.size(), true);
    table.is_number[0] = false;
    return table;
  }

  report::Table class_table() const {
    report::Table table{.name = "classes",
                        .caption = card_.meaning ? "Cases, and pixels, of each class" : "Cases of each class",
                        .columns = {"class"}};
    for (const CardPart& part : card_.parts) {
      table.columns.push_back(part.name + ", cases");
      if (card_.meaning && part.census) table.columns.push_back(part.name + ", pixels");
    }
    for (size_t k = 0; k < names().size(); ++k) {
      table.rows.push_back({names()[k]});
      for (size_t p = 0; p < counts_.size(); ++p) {
        table.rows.back().push_back(counts_[p].has_classes ? std::to_string(counts_[p].classes[k].cases) : "-");
        if (card_.meaning && card_.parts[p].census)
          table.rows.back().push_back(std::to_string(counts_[p].classes[k].pixels));
      }
    }
    table.is_number.assign(table.columns.size(), true);
    table.is_number[0] = false;
    return table;
  }

  report::Table value_table() const {
    report::Table table{.name = "values",
                        .caption = "Values in the masks",
                        .columns = {"value", "pixels", "means"},
                        .is_number = {true, true, false}};
    for (const Value& value : values())
      table.rows.push_back({std::to_string(value.value), std::to_string(value.pixels), value.means});
    return table;
  }

  report::Table shown_table() const {
    report::Table table{.name = "shown",
                        .caption = "What is shown",
                        .columns = {"tile", "part", "image", "what"},
                        .is_number = {true, false, false, false}};
    for (size_t i = 0; i < shown_.size(); ++i)
      table.rows.push_back({std::to_string(i + 1), shown_[i].part->name, id_of(shown_[i]),
                            shown_[i].what.empty() ? "-" : shown_[i].what});
    return table;
  }

  const DataCard& card_;
  std::vector<io::SourceRemark> left_out_;
  std::vector<Shown> shown_;
  std::vector<PartCounts> counts_;
  std::vector<LegendEntry> legend_;
  std::string sheet_, sheet_with_legend_;  // on the page the legend is text, beside it in the picture
};

}  // namespace

void write_data_card(const fs::path& folder, const DataCard& data) {
  const Card card(data);
  std::error_code problem;
  if (fs::create_directories(folder, problem); problem)
    throw Error(ExitCode::internal, concat(folder.string(), " can't be created: ", problem.message()));
  if (!card.sheet().empty()) write_file_atomically(folder / "masks.png", card.sheet());
  write_file_atomically(folder / "card.html", report::to_html(card.page()));
  write_file_atomically(folder / "card.json", json_text(card.json(), 1) + "\n");
}

}  // namespace vmae::run
