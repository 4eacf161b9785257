#include "vmae/nnunet/labels.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "json_place.h"
#include "vmae/core/error.h"
#include "vmae/core/json_text.h"
#include "vmae/core/text.h"

namespace vmae::nnunet {
namespace {

constexpr int64_t kHighestLabel = kIgnoredLabel - 1;
constexpr const char *kLabelsKey = "labels", *kBackgroundKey = "background", *kIgnoreKey = "ignore",
                     *kOrderKey = "regions_class_order";

// int() of Python takes texts too.
int64_t label_number(const JsonPlace& place) {
  const auto from_text = place.json().is_string() ? parse_integer(place.text()) : std::nullopt;
  const int64_t number = from_text ? *from_text : place.integer(0);
  if (number < 0 || number > kHighestLabel) place.fail(concat("meant is a number from 0 to ", kHighestLabel));
  return number;
}

std::vector<int64_t> label_values(const JsonPlace& place) {
  if (!place.json().is_array()) return {label_number(place)};
  if (place.json().empty()) place.fail("meant is at least one number");
  return place.vector(label_number);
}

bool is_background(const LabelEntry& entry) {
  return std::all_of(entry.values.begin(), entry.values.end(), [](int64_t value) { return value == 0; });
}

int64_t highest_label(const std::vector<LabelEntry>& entries) {
  int64_t highest = 0;
  for (const LabelEntry& entry : entries)
    highest = std::max(highest, *std::max_element(entry.values.begin(), entry.values.end()));
  return highest;
}

// The network's outputs are in the order of the classes' numbers, whatever the file's is.
void order_classes(const JsonPlace& labels, std::vector<LabelEntry>& classes) {
  std::sort(classes.begin(), classes.end(),
            [](const LabelEntry& a, const LabelEntry& b) { return a.values.front() < b.values.front(); });
  for (size_t i = 0; i < classes.size(); ++i) {
    if (classes[i].values.front() != static_cast<int64_t>(i) + 1)
      labels.at(classes[i].name).fail(concat("classes are meant to be 1, 2, ..., each once: this one ", i + 1));
  }
}

bool read_ignore(const JsonPlace& labels, int64_t highest) {
  if (!labels.has(kIgnoreKey) || labels.at(kIgnoreKey).json().is_null()) return false;
  const JsonPlace place = labels.at(kIgnoreKey);
  if (place.integer(0) != highest + 1) place.fail(concat("meant is the highest label + 1: ", highest + 1));
  return true;
}

Json labels_to_json(const Labels& labels) {
  Json json;
  json[kBackgroundKey] = 0;
  for (const LabelEntry& entry : labels.foreground) {
    if (json.contains(entry.name) || entry.name == kIgnoreKey)
      throw Error(ExitCode::data, concat("a class can't be called \"", entry.name, "\" in a dataset.json of nnU-Net"),
                  "names there differ from each other, from \"background\" and from \"ignore\"");
    if (entry.values.size() == 1)
      json[entry.name] = entry.values.front();
    else
      json[entry.name] = entry.values;
  }
  if (labels.has_ignore) json[kIgnoreKey] = highest_label(labels.foreground) + 1;
  return json;
}

}  // namespace

Labels labels_of_classes(const std::vector<std::string>& names, bool has_ignore) {
  if (names.empty() || static_cast<int64_t>(names.size()) > kHighestLabel)
    throw Error(ExitCode::data, concat(names.size(), " classes; meant are 1 to ", kHighestLabel));
  Labels labels;
  labels.has_ignore = has_ignore;
  for (const std::string& name : names)
    labels.foreground.push_back({name, {static_cast<int64_t>(labels.foreground.size()) + 1}});
  return labels;
}

Labels labels_of_json(const std::string& dataset_json, const std::filesystem::path& for_messages) {
  const Json json = parse_json(dataset_json, for_messages);
  const JsonPlace whole = JsonPlace(for_messages, json)
                              .with_hint(
                                  "correct the labels: background 0, then 1, 2, ... without gaps; regions are "
                                  "lists of these, painted in the order of regions_class_order");
  const JsonPlace place = whole.at(kLabelsKey);
  const JsonPlace background = place.at(kBackgroundKey);
  if (background.json().is_array() || label_number(background) != 0) background.fail("meant is 0");
  Labels labels;
  bool has_regions = false;
  for (const auto& [name, value] : place.json().items()) {
    if (name == kIgnoreKey) continue;
    LabelEntry entry{name, label_values(place.at(name))};
    if (is_background(entry) && entry.values.size() > 1) place.at(name).fail("meant is a region of the foreground");
    has_regions = has_regions || entry.values.size() > 1;
    if (!is_background(entry)) labels.foreground.push_back(std::move(entry));
  }
  if (labels.foreground.empty()) place.fail("meant is at least one label besides the background");
  labels.has_ignore = read_ignore(place, highest_label(labels.foreground));
  if (!has_regions) {
    order_classes(place, labels.foreground);
    return labels;
  }
  const JsonPlace order = whole.at(kOrderKey);
  labels.region_order = order.vector(label_number);
  if (labels.region_order.size() != labels.foreground.size())
    order.fail(concat("meant are as many as \"", kLabelsKey, "\" has regions: ", labels.foreground.size()));
  return labels;
}

std::string dataset_json_text(const Labels& labels, const std::vector<std::string>& channel_names, int64_t num_training,
                              const std::string& file_ending, const std::string& reader_writer) {
  constexpr int kIndentOfDataset = 4;  // as nnU-Net
  Json json;
  Json& channels = json["channel_names"] = Json::object();
  for (size_t i = 0; i < channel_names.size(); ++i) channels[std::to_string(i)] = channel_names[i];
  json[kLabelsKey] = labels_to_json(labels);
  json["numTraining"] = num_training;
  json["file_ending"] = file_ending;
  if (labels.has_regions()) json[kOrderKey] = labels.region_order;
  if (!reader_writer.empty()) json["overwrite_image_reader_writer"] = reader_writer;
  return json_text(json, kIndentOfDataset);
}

void paint(const Labels& labels, const float* logits, int64_t n, uint8_t* numbers) {
  std::fill_n(numbers, n, uint8_t{0});
  if (labels.has_regions()) {
    for (const int64_t number : labels.region_order) {
      for (int64_t i = 0; i < n; ++i) {
        if (logits[i] > 0) numbers[i] = static_cast<uint8_t>(number);
      }
      logits += n;
    }
    return;
  }
  std::vector<float> highest(logits, logits + n);
  for (int64_t head = 1; head < labels.num_heads(); ++head) {
    logits += n;
    for (int64_t i = 0; i < n; ++i) {
      if (logits[i] <= highest[static_cast<size_t>(i)]) continue;
      highest[static_cast<size_t>(i)] = logits[i];
      numbers[i] = static_cast<uint8_t>(head);
    }
  }
}

}  // namespace vmae::nnunet
