// Label maps of every case are read, put on one grid, checked and scored; cases in parallel.
#include <algorithm>
#include <cmath>

#include "sides.h"
#include "vmae/cases/label_meaning.h"
#include "vmae/cases/read_image.h"
#include "vmae/core/counting.h"
#include "vmae/core/log.h"
#include "vmae/core/parallel.h"
#include "vmae/core/text.h"
#include "vmae/image/file_name.h"
#include "vmae/prepared/mask.h"
#include "vmae/sources/case_names.h"
#include "vmae/volume/label_map.h"
#include "vmae/volume/volume.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

// Labels by the names of a DICOM-SEG become those of the classes of the same names.
void rename_labels(io::LabelMap& map, const std::vector<std::string>& classes, const fs::path& file) {
  if (map.names.empty() || map.names == classes) return;
  std::vector<uint8_t> to(256, 0);
  for (size_t i = 0; i < map.names.size(); ++i) {
    const auto found = std::find(classes.begin(), classes.end(), map.names[i]);
    if (found == classes.end())
      throw Error(ExitCode::data,
                  concat(file.filename().string(), " has the segment '", map.names[i], "', which is no class"),
                  "the classes are: " + join(classes, ", "));
    to[i + 1] = static_cast<uint8_t>(found - classes.begin() + 1);
  }
  for (uint8_t& label : map.labels) label = to[label];
}

// A DICOM mask lies on the grid of its series, so that is read too.
io::LabelMap on_series(const TruthCase& one, const fs::path& mask, const io::Volume& image,
                       const std::vector<std::string>& classes) {
  io::SourceFile file = one.file;
  file.mask = mask;
  io::LabelMap map{
      image.size, image.spacing_mm, image.origin_mm, image.direction, true, io::read_mask(file, image, classes),
      classes};
  return map;
}

struct Pair {
  io::LabelMap truth;
  std::vector<io::LabelMap> predictions;
  bool is_resampled = false;  // a prediction had the grid of prepared slices
};

// A DICOM-SEG covers the slices where it has something, so both grow to a common grid; other files must have the same.
void add_prediction(io::LabelMap map, bool may_grow, bool is_dataset, Pair& pair) {
  const std::string difference = io::grid_difference(map, pair.truth);
  if (!difference.empty() && !may_grow)
    throw Error(
        ExitCode::data,
        concat("prediction and truth lie on different grids: ", difference,
               is_dataset ? " as prepared; predictions on the files' own grid are measured with the files as --truth"
                          : ""),
        "resample the prediction on the truth's grid");
  if (difference.empty()) return pair.predictions.push_back(std::move(map));
  auto [prediction, truth] = io::onto_common_grid(std::move(map), std::move(pair.truth));
  pair.truth = std::move(truth);
  for (io::LabelMap& earlier : pair.predictions) earlier = io::onto_grid(earlier, pair.truth);
  pair.predictions.push_back(std::move(prediction));
}

io::LabelMap read_map(const TruthCase& one, const Side& side) {
  io::LabelMap map = truth_map(one);
  if (map.names.empty()) {
    side.to_classes(map, mask_of(one));
  } else {
    rename_labels(map, side.classes(), mask_of(one));
  }
  return map;
}

Pair read_maps(const SegmentationCase& one, const Sides& sides) {
  Pair pair;
  std::optional<io::Volume> image;
  if (is_dicom_case(one.truth)) image = io::read_image(one.truth.file);
  const fs::path& mask = mask_of(one.truth);
  const std::vector<std::string>& classes = sides.truth->classes();
  pair.truth = image ? on_series(one.truth, mask, *image, classes) : read_map(one.truth, *sides.truth);
  for (size_t m = 0; m < one.predictions.size(); ++m) {
    const fs::path& file = one.predictions[m];
    if (image && is_dicom_name(file)) {
      pair.predictions.push_back(on_series(one.truth, file, *image, classes));
      continue;
    }
    io::LabelMap map = read_map(predicted(file), *sides.models[m]);
    if (one.of_dataset[m] && !one.truth.prepared && !io::grid_difference(map, pair.truth).empty()) {
      if (auto original = io::onto_source_grid(map, pair.truth)) {
        map = *std::move(original);
        pair.is_resampled = true;
      }
    }
    add_prediction(std::move(map), is_dicom_name(file) || is_dicom_name(mask), one.truth.prepared != nullptr, pair);
  }
  return pair;
}

// Label 0 where the truth is not to be judged.
void ignore(Pair& pair) {
  for (size_t i = 0; i < pair.truth.labels.size(); ++i) {
    if (pair.truth.labels[i] != io::kIgnored) continue;
    pair.truth.labels[i] = 0;
    for (io::LabelMap& prediction : pair.predictions) prediction.labels[i] = 0;
  }
}

metrics::Grid slice_grid(const io::LabelMap& map, int axis) {
  const size_t columns = io::column_axis(axis), rows = io::row_axis(axis);
  return {{map.size[columns], map.size[rows], 1},
          {map.spacing_mm[columns], map.spacing_mm[rows], map.spacing_mm[static_cast<size_t>(axis)]}};
}

struct Scored {
  bool has_millimetres = true, is_resampled = false;
  std::vector<std::vector<std::vector<metrics::ClassScores>>> scores;  // [slice, or 0][model][class]
  std::string problem, hint;
};

// Of each class, or region, that is measured.
std::vector<metrics::ClassScores> scores_of(const std::vector<uint8_t>& prediction, const std::vector<uint8_t>& truth,
                                            const metrics::Grid& grid, const Sides& sides,
                                            const metrics::SegmentationOptions& options) {
  const auto is_class = [](const Measured& one) { return one.classes.size() == 1; };
  if (std::all_of(sides.measured.begin(), sides.measured.end(), is_class))
    return metrics::score_segmentation(prediction, truth, grid, static_cast<int64_t>(sides.truth->classes().size()),
                                       options);
  std::vector<metrics::ClassScores> scores;
  for (const Measured& one : sides.measured)
    scores.push_back(metrics::score_union(prediction, truth, grid, one.classes, options));
  return scores;
}

Scored score(const SegmentationCase& one, const EvalArguments& arguments, const std::vector<EvalModel>& models,
             const Sides& sides) {
  Pair pair = read_maps(one, sides);
  ignore(pair);
  Scored scored;
  scored.has_millimetres = pair.truth.has_millimetres;
  scored.is_resampled = pair.is_resampled;
  if (!arguments.per_slice) {
    scored.scores.emplace_back();
    for (const io::LabelMap& prediction : pair.predictions)
      scored.scores[0].push_back(scores_of(prediction.labels, pair.truth.labels,
                                           {pair.truth.size, pair.truth.spacing_mm}, sides, arguments.segmentation));
    return scored;
  }
  const int axis = one.truth.axis >= 0 ? one.truth.axis : eval_axis(models, pair.truth.size, pair.truth.spacing_mm);
  const metrics::Grid grid = slice_grid(pair.truth, axis);
  for (int64_t index = 0; index < pair.truth.size[static_cast<size_t>(axis)]; ++index) {
    scored.scores.emplace_back();
    const std::vector<uint8_t> of_truth = io::slice_of(pair.truth.labels, pair.truth.size, axis, index);
    for (const io::LabelMap& prediction : pair.predictions)
      scored.scores.back().push_back(scores_of(io::slice_of(prediction.labels, pair.truth.size, axis, index), of_truth,
                                               grid, sides, arguments.segmentation));
  }
  return scored;
}

// The cases that all models predicted, in the truth's order; what is on one side only becomes a problem.
std::vector<SegmentationCase> complete_cases(const std::vector<EvalModel>& models, const Truth& truth,
                                             const NamesTable* names, Problems& problems) {
  std::vector<std::string> truth_names;
  for (const TruthCase& one : truth.cases) truth_names.push_back(one.name);
  std::map<std::string, SegmentationCase> matched;
  for (const TruthCase& one : truth.cases) matched[one.name].truth = one;
  std::set<std::string> incomplete;
  for (const EvalModel& model : models) {
    const auto maps = list_label_maps(model.predictions, truth.identifying);
    std::vector<std::string> found;
    for (const auto& [name, file] : maps) found.push_back(name);
    const auto matches = match_predictions(truth_names, found, names, model.name);
    std::set<std::string> used;
    for (const std::string& name : truth_names) {
      const auto match = matches.find(name);
      if (match == matches.end()) {
        incomplete.insert(name);
        problems.add(name, concat("has no prediction of ", model.name,
                                  model.failed.contains(name) ? " (it could not be read there)" : ""));
        continue;
      }
      used.insert(match->second);
      matched[name].predictions.push_back(maps.at(match->second));
      matched[name].of_dataset.push_back(model.is_of_dataset() && model.may_be_resized);
    }
    for (const std::string& name : found) {
      if (!used.contains(name)) problems.add(name, concat("is predicted by ", model.name, ", but has no truth"));
    }
  }
  std::vector<SegmentationCase> cases;
  for (const std::string& name : truth_names) {
    if (!incomplete.contains(name)) cases.push_back(matched[name]);
  }
  return cases;
}

// A case that can't be scored has a problem instead of scores.
Scored score_or_problem(const SegmentationCase& one, const EvalArguments& arguments,
                        const std::vector<EvalModel>& models, const Sides& sides) {
  try {
    return score(one, arguments, models, sides);
  } catch (const Error& error) {
    Scored failed;
    failed.problem = error.what();
    failed.hint = error.hint();
    return failed;
  }
}

// One case, or one for each of its slices.
void add_to_study(const SegmentationCase& one, const Scored& scored, bool per_slice, SegmentationInput& input) {
  for (size_t slice = 0; slice < scored.scores.size(); ++slice) {
    input.study.cases.push_back(one.truth.name + (per_slice ? concat("/", slice) : ""));
    input.study.patients.push_back(one.truth.patient);
    input.cases.push_back(one);
    if (per_slice) input.slices.push_back(static_cast<int64_t>(slice));
    for (size_t m = 0; m < input.study.scores.size(); ++m) input.study.scores[m].push_back(scored.scores[slice][m]);
  }
}

// Pictures have distances in pixels and no volumes. Throws Error(data) where only some of the cases are pictures.
void settle_units(const std::vector<Scored>& scored, metrics::SegmentationStudy& study) {
  study.has_millimetres =
      std::all_of(scored.begin(), scored.end(), [](const Scored& one) { return one.has_millimetres; });
  if (study.has_millimetres) return;
  const auto is_measured = [](const Scored& one) { return one.problem.empty() && one.has_millimetres; };
  if (std::any_of(scored.begin(), scored.end(), is_measured))
    throw Error(ExitCode::data, "some cases are pictures, whose pixels have no size, others have millimetres",
                "evaluate them separately");
  for (auto& of_model : study.scores) {
    for (auto& of_case : of_model) {
      for (metrics::ClassScores& of_class : of_case) {
        of_class.truth_ml = std::nan("");
        of_class.difference_ml = std::nan("");
      }
    }
  }
}

}  // namespace

int eval_axis(const std::vector<EvalModel>& models, const std::array<int64_t, 3>& size,
              const std::array<double, 3>& spacing_mm) {
  for (const EvalModel& model : models) {
    if (model.slice_axis != "auto") return io::axis_number(model.slice_axis);
  }
  return io::slice_axis({size, spacing_mm, 1});
}

SegmentationMaps SegmentationInput::read_maps(size_t number) const {
  Pair pair = run::read_maps(cases[number], *sides);
  ignore(pair);
  SegmentationMaps maps{pair.truth.size, pair.truth.spacing_mm, std::move(pair.truth.labels), {}};
  for (io::LabelMap& prediction : pair.predictions) maps.predictions.push_back(std::move(prediction.labels));
  return maps;
}

SegmentationInput score_segmentations(const EvalArguments& arguments, const std::vector<EvalModel>& models,
                                      const Truth& truth, const NamesTable* names, Problems& problems) {
  const std::vector<SegmentationCase> cases = complete_cases(models, truth, names, problems);
  if (cases.empty()) problems.raise();
  if (cases.empty()) throw Error(ExitCode::data, "no case is left to be evaluated");

  SegmentationInput input;
  input.sides = std::make_shared<const Sides>(sides_of(arguments, models, truth, cases));
  for (const Measured& one : input.sides->measured) input.study.classes.push_back(one.name);
  input.remarks = input.sides->remarks;
  input.ignore_label = input.sides->truth->rules().ignore;
  for (const EvalModel& model : models) input.study.models.push_back(model.name);

  std::vector<Scored> scored(cases.size());
  Counting counting("cases", std::ssize(cases));
  parallel_for(std::ssize(cases), arguments.statistics.threads, [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    scored[at] = score_or_problem(cases[at], arguments, models, *input.sides);
    counting.add();
  });
  const auto num_resampled =
      std::count_if(scored.begin(), scored.end(), [](const Scored& one) { return one.is_resampled; });
  if (num_resampled > 0)
    input.remarks.push_back(
        concat("Measured on the files' own grid: predictions of slices that were resized when they were prepared were "
               "brought there, each voxel with the label of the nearest (",
               num_resampled, " of ", cases.size(), " cases)"));
  input.study.scores.resize(models.size());
  for (size_t i = 0; i < cases.size(); ++i) {
    if (scored[i].problem.empty()) {
      add_to_study(cases[i], scored[i], arguments.per_slice, input);
      continue;
    }
    problems.add(cases[i].truth.name, io::without(scored[i].problem, truth.identifying));
    problems.advise(scored[i].hint);
  }
  problems.raise();
  settle_units(scored, input.study);
  if (input.study.cases.empty()) throw Error(ExitCode::data, "no case is left to be evaluated");
  return input;
}

}  // namespace vmae::run
