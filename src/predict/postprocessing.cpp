#include "postprocessing.h"

#include <algorithm>

#include "vmae/core/error.h"
#include "vmae/runs/run_record.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

std::string numbers_text(const std::vector<int64_t>& numbers) {
  std::vector<std::string> texts;
  for (const int64_t number : numbers) texts.push_back(std::to_string(number));
  return join(texts, ", ");
}

// What the run of folds found, where it, or what nnU-Net has of it, is used as a whole.
fs::path found_by_folds(const std::vector<fs::path>& weights) {
  if (weights.size() != 1) return {};
  const bool is_whole = is_run(weights[0]) ? open_run_record(weights[0]).has_folds
                                           : fs::is_directory(weights[0]) && fs::exists(weights[0] / "plans.json");
  if (!is_whole) return {};
  const fs::path file = weights[0] / "postprocessing.json";
  return fs::exists(file) ? file : fs::path();
}

nnunet::Postprocessing in_classes(const nnunet::Postprocessing& of_values, const ModelCard& card,
                                  const fs::path& file) {
  std::vector<int64_t> values = card.label_values;
  for (size_t i = values.size(); i < card.class_names.size(); ++i) values.push_back(static_cast<int64_t>(i) + 1);
  nnunet::Postprocessing of_classes;
  for (const nnunet::PostprocessingStep& step : of_values.steps) {
    nnunet::PostprocessingStep& own = of_classes.steps.emplace_back();
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::count(step.labels.begin(), step.labels.end(), values[i]) > 0)
        own.labels.push_back(static_cast<int64_t>(i) + 1);
    }
    if (own.labels.empty())
      throw Error(ExitCode::usage,
                  concat(file.string(), ": the model writes none of the labels ", numbers_text(step.labels), ", but ",
                         numbers_text(values)),
                  "give the postprocessing of this model, or leave it out: --postprocessing none");
  }
  return of_classes;
}

}  // namespace

ChosenPostprocessing choose_postprocessing(const std::string& option, const std::vector<fs::path>& weights,
                                           const ModelCard& card) {
  if (option == "none") return {};
  const bool is_auto = option == "auto";
  const fs::path file = is_auto ? found_by_folds(weights) : fs::path(option);
  if (is_auto && file.empty()) return {};
  if (!fs::is_regular_file(file))
    throw Error(ExitCode::data, concat("--postprocessing is ", option, ", which is no file"),
                "give auto, none, or a file postprocessing.json of a run or of nnU-Net");
  if (file.extension() == ".pkl")
    throw Error(ExitCode::data, concat("--postprocessing is ", option, ", which is for nnU-Net's own program"),
                "give postprocessing.json, which lies beside it");
  ChosenPostprocessing chosen{file, nnunet::read_postprocessing(file)};
  chosen.of_classes = in_classes(chosen.of_values, card, file);
  return chosen;
}

std::string text_of(const ChosenPostprocessing& chosen, const ModelCard& card) {
  std::vector<std::string> steps;
  for (const nnunet::PostprocessingStep& step : chosen.of_classes.steps) {
    std::vector<std::string> names;
    for (const int64_t label : step.labels) names.push_back(card.class_names[static_cast<size_t>(label - 1)]);
    steps.push_back((names.size() > 1 ? "of all of " : "of ") + join(names, ", "));
  }
  return steps.empty() ? "none" : "the largest component " + join(steps, ", then ");
}

}  // namespace vmae::run
