// Cases of a segmentation as pictures, the same for all models: image, truth, and the prediction of each.
#include <algorithm>
#include <cmath>

#include "../sides.h"
#include "../slice.h"
#include "output.h"
#include "vmae/core/log.h"
#include "vmae/core/text.h"
#include "vmae/pictures/class_colours.h"

namespace vmae::run {

namespace {

struct Chosen {
  std::string what;  // "Best case"
  size_t number = 0;
};

// By the Dice of a case: the mean over classes, and of these over the models that have one.
std::vector<Chosen> choose_cases(const Evaluation& evaluation) {
  const metrics::SegmentationStudy& study = evaluation.segmentation->study;
  const metrics::SegmentationMetric& dice = metrics::segmentation_metrics()[0];
  const std::string unit = evaluation.arguments.per_slice ? " slice" : " case";
  std::vector<std::pair<double, size_t>> order;
  double widest = 0;
  size_t most_different = 0;
  for (size_t i = 0; i < study.cases.size(); ++i) {
    std::vector<double> values;
    for (const auto& scores : study.scores) {
      const double value = metrics::value_of(scores[i], dice, study.classes.size());
      if (!std::isnan(value)) values.push_back(value);
    }
    if (values.empty()) continue;
    double sum = 0;
    for (const double value : values) sum += value;
    order.emplace_back(sum / static_cast<double>(values.size()), i);
    const auto [lowest, highest] = std::minmax_element(values.begin(), values.end());
    if (*highest - *lowest > widest) {
      widest = *highest - *lowest;
      most_different = i;
    }
  }
  std::sort(order.begin(), order.end());
  std::vector<Chosen> chosen;
  if (!order.empty()) chosen.push_back({"Best" + unit, order.back().second});
  if (order.size() > 2) chosen.push_back({"Median" + unit, order[(order.size() - 1) / 2].second});
  if (order.size() > 1) chosen.push_back({"Worst" + unit, order.front().second});
  if (widest == 0) return chosen;
  const auto shown =
      std::find_if(chosen.begin(), chosen.end(), [&](const Chosen& one) { return one.number == most_different; });
  if (shown != chosen.end()) {
    shown->what += ", and the one where the models differ most";
  } else {
    chosen.push_back({concat("The", unit, " where the models differ most"), most_different});
  }
  return chosen;
}

// Where the truth has the most, which counts twice, and the models in the mean.
int64_t fullest_slice(const SegmentationMaps& maps, int axis) {
  const auto count = [&](const std::vector<uint8_t>& labels, int64_t index) {
    const std::vector<uint8_t> slice = io::slice_of(labels, maps.size, axis, index);
    return static_cast<int64_t>(slice.size()) - std::count(slice.begin(), slice.end(), uint8_t{0});
  };
  const auto num_models = static_cast<int64_t>(maps.predictions.size());
  int64_t best = 0, most = -1;
  for (int64_t index = 0; index < maps.size[static_cast<size_t>(axis)]; ++index) {
    int64_t sum = 2 * num_models * count(maps.truth, index);
    for (const auto& prediction : maps.predictions) sum += count(prediction, index);
    if (sum > most) {
      most = sum;
      best = index;
    }
  }
  return best;
}

// Nothing where there is no image, or none of this size.
std::optional<io::Image> image_of_slice(const TruthCase& truth, const SegmentationMaps& maps, int axis, int64_t index) {
  if (truth.file.path.empty()) return std::nullopt;
  try {
    const io::Volume volume = image_of(truth);
    if (volume.size == maps.size) return shown_slice(volume, axis, index);
    log::warning(concat("no image of ", truth.name, ": it has another size than its mask"));
  } catch (const Error& error) {
    log::warning(concat("no picture of ", truth.name, ": ", error.what()));
  }
  return std::nullopt;
}

report::PictureRow row_of(const Evaluation& evaluation, const Chosen& chosen, std::set<uint8_t>& labels) {
  const SegmentationInput& input = *evaluation.segmentation;
  const metrics::SegmentationMetric& dice = metrics::segmentation_metrics()[0];
  const std::string& name = input.study.cases[chosen.number];
  const SegmentationMaps maps = input.read_maps(chosen.number);
  const TruthCase& truth = input.cases[chosen.number].truth;
  const int axis = truth.axis >= 0 ? truth.axis : eval_axis(evaluation.models, maps.size, maps.spacing_mm);
  const int64_t index = input.slices.empty() ? fullest_slice(maps, axis) : input.slices[chosen.number];
  const SliceGrid grid = slice_grid_of(maps.size, maps.spacing_mm, axis);
  const std::optional<io::Image> image = image_of_slice(truth, maps, axis, index);
  const io::Image background = image ? *image : dark_slice(grid);

  report::PictureRow row{.caption = concat(chosen.what, ": ", name)};
  if (image) row.pictures.push_back({slice_png(grid, background, {}), "image", concat("A slice of ", name, ".")});
  const auto add = [&](const std::vector<uint8_t>& all, const std::string& caption, const std::string& whose) {
    const std::vector<uint8_t> slice = io::slice_of(all, maps.size, axis, index);
    labels.insert(slice.begin(), slice.end());
    row.pictures.push_back(
        {slice_png(grid, background, slice), caption, concat(whose, " of ", name, ", classes as coloured outlines.")});
  };
  add(maps.truth, "truth", "The truth");
  for (size_t m = 0; m < evaluation.models.size(); ++m) {
    const double value = metrics::value_of(input.study.scores[m][chosen.number], dice, input.study.classes.size());
    add(maps.predictions[m], concat(evaluation.models[m].name, ", Dice ", report::number(value)),
        concat("The prediction of ", evaluation.models[m].name));
  }
  return row;
}

}  // namespace

report::Section case_section(const Evaluation& evaluation) {
  const bool is_one = evaluation.models.size() == 1;
  const char* const unit = evaluation.arguments.per_slice ? "slices" : "cases";
  report::Section section{.title = evaluation.arguments.per_slice ? "Slices" : "Cases"};
  section.paragraphs.push_back(
      concat("Best, median and worst of the ", unit, " by their Dice (mean over classes",
             is_one ? ")" : " and models): the same for all models", ".",
             evaluation.arguments.per_slice ? "" : " Of each the slice with the most of truth and prediction."));
  std::set<uint8_t> labels;
  for (const Chosen& chosen : choose_cases(evaluation)) section.rows.push_back(row_of(evaluation, chosen, labels));
  for (const LegendEntry& entry : legend_of(labels, evaluation.segmentation->sides->truth->classes()))
    section.legend.emplace_back(entry.name, css_colour(entry.colour));
  return section;
}

}  // namespace vmae::run
