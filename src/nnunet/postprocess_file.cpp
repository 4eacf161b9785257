// postprocessing.json of ours and of nnU-Net, and nnU-Net's postprocessing.pkl.
#include <cmath>
#include <nlohmann/json.hpp>

#include "json_place.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/json_text.h"
#include "vmae/nnunet/postprocess.h"

namespace vmae::nnunet {
namespace {

constexpr const char* kModule = "nnunetv2.postprocessing.remove_connected_components";
constexpr const char* kFunction = "remove_all_but_largest_component_from_segmentation";
constexpr const char* kFunctionsKey = "postprocessing_fns";
constexpr const char* kArgumentsKey = "postprocessing_kwargs";
constexpr const char* kLabelsArgument = "labels_or_regions";
constexpr int64_t kMostLabel = 255;

Json dice_to_json(const MeanDice& dice, const Labels& labels) {
  const auto number = [](double value) { return std::isnan(value) ? Json(nullptr) : Json(value); };
  Json by_name = Json::object();
  for (size_t k = 0; k < dice.by_entry.size(); ++k) by_name[labels.foreground[k].name] = number(dice.by_entry[k]);
  return {{"mean", number(dice.mean)}, {"of", by_name}};
}

int64_t label_from_json(const JsonPlace& place) {
  const int64_t label = place.integer(1);
  if (label > kMostLabel) place.fail(concat("meant is the number of a class, ", kMostLabel, " at most"));
  return label;
}

PostprocessingStep step_from_json(const JsonPlace& place) {
  if (place.json().size() != 1) place.fail("known is {\"labels\": [...]} alone");
  PostprocessingStep step{place.at("labels").vector(label_from_json)};
  if (step.labels.empty()) place.at("labels").fail("meant is a class, or several");
  return step;
}

// A label, a region (a list), or a list of both.
void add_labels(const JsonPlace& place, std::vector<int64_t>& labels) {
  if (!place.json().is_array()) return labels.push_back(label_from_json(place));
  for (const JsonPlace& one : place.list()) add_labels(one, labels);
}

Postprocessing from_nnunets_json(const JsonPlace& place) {
  Postprocessing postprocessing;
  const std::vector<JsonPlace> functions = place.at(kFunctionsKey).list(),
                               arguments = place.at(kArgumentsKey).list(functions.size());
  for (size_t i = 0; i < functions.size(); ++i) {
    if (functions[i].text() != kFunction) functions[i].fail(concat("known is ", kFunction, " alone"));
    if (arguments[i].json().size() != 1) arguments[i].fail(concat("known is \"", kLabelsArgument, "\" alone"));
    add_labels(arguments[i].at(kLabelsArgument), postprocessing.steps.emplace_back().labels);
    if (postprocessing.steps.back().labels.empty()) arguments[i].fail("meant is a label, or several");
  }
  return postprocessing;
}

// A whole number of 32 bits, in the words of pickle.
std::string pickled(int64_t value) {
  std::string text = "J";
  for (int shift = 0; shift < 32; shift += 8) text += static_cast<char>(value >> shift & 0xff);
  return text;
}

// A short text, likewise.
std::string pickled(const std::string& text) { return "X" + pickled(std::ssize(text)).substr(1) + text; }

}  // namespace

void write_postprocessing(const std::filesystem::path& file, const FoundPostprocessing& found, const Labels& labels) {
  Json json{{"steps", Json::array()}};
  for (const PostprocessingStep& step : found.postprocessing.steps) json["steps"].push_back({{"labels", step.labels}});
  json["Dice"] = {{"before", dice_to_json(found.before, labels)}, {"after", dice_to_json(found.after, labels)}};
  write_file_atomically(file, json_text(json, 2) + "\n");
}

Postprocessing read_postprocessing(const std::filesystem::path& file) {
  const Json json = read_json(file);
  const JsonPlace place(file, json);
  if (place.has(kFunctionsKey)) return from_nnunets_json(place);
  for (const auto& [key, value] : json.items()) {
    if (key != "steps" && key != "Dice")
      fail_file(file, concat("has the unknown key \"", key, "\""), "give postprocessing.json of a run or of nnU-Net");
  }
  return {place.at("steps").vector(step_from_json)};
}

// (functions, their arguments), as pickle.dumps(..., protocol=2) has them. Opcodes: c a global by module and name, ] an
// empty list, } an empty dict, ( a mark up to which e appends, s sets an item, \x86 a pair, . the end.
void write_nnunet_postprocessing(const std::filesystem::path& file, const Postprocessing& postprocessing) {
  std::string functions = "](", arguments = "](";
  for (const PostprocessingStep& step : postprocessing.steps) {
    functions += concat("c", kModule, "\n", kFunction, "\n");
    arguments += concat("}", pickled(std::string(kLabelsArgument)), "](");
    for (const int64_t label : step.labels) arguments += pickled(label);
    arguments += "es";
  }
  write_file_atomically(file, "\x80\x02" + functions + "e" + arguments + "e\x86.");
}

}  // namespace vmae::nnunet
