// Label maps of every case are read, put on one grid, checked and scored; cases in parallel.
#include <algorithm>
#include <cmath>

#include "eval_input.h"
#include "vmae/core/parallel.h"
#include "vmae/core/text.h"
#include "vmae/io/case_names.h"
#include "vmae/io/label_map.h"
#include "vmae/io/prepared_mask.h"
#include "vmae/io/read_image.h"

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
      throw Error(ExitCode::data, concat(file.filename().string(), " has the segment '", map.names[i], "', which is no class"),
                  "the classes are: " + join(classes, ", "));
    to[i + 1] = static_cast<uint8_t>(found - classes.begin() + 1);
  }
  for (uint8_t& label : map.labels) label = to[label];
}

bool is_dicom_case(const TruthCase& one) { return one.label_map.empty() && !one.file.series.empty(); }

// A DICOM mask lies on the grid of its series, so that is read too.
io::LabelMap on_series(const TruthCase& one, const fs::path& mask, const io::Volume& image, const std::vector<std::string>& classes) {
  io::SourceFile file = one.file;
  file.mask = mask;
  io::LabelMap map{image.size, image.spacing_mm, image.origin_mm, image.direction, true, io::read_mask(file, image, classes), classes};
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
    throw Error(ExitCode::data,
                concat("prediction and truth lie on different grids: ", difference,
                       is_dataset ? " as prepared; predictions on the files' own grid are measured with the files as --truth" : ""),
                "resample the prediction on the truth's grid");
  if (difference.empty()) return pair.predictions.push_back(std::move(map));
  auto [prediction, truth] = io::onto_common_grid(std::move(map), std::move(pair.truth));
  pair.truth = std::move(truth);
  for (io::LabelMap& earlier : pair.predictions) earlier = io::onto_grid(earlier, pair.truth);
  pair.predictions.push_back(std::move(prediction));
}

// As in training: where 255 is the label that is ignored, a picture of 0 and 255 has no class 1.
Pair read_maps(const SegmentationCase& one, const std::vector<std::string>& classes, int64_t ignore_label) {
  Pair pair;
  std::optional<io::Volume> image;
  if (is_dicom_case(one.truth)) image = io::read_image(one.truth.file);
  const fs::path& mask = one.truth.label_map.empty() ? one.truth.file.mask : one.truth.label_map;
  if (image) {
    pair.truth = on_series(one.truth, mask, *image, classes);
  } else {
    pair.truth = truth_map(one.truth, classes, /*keeps_255=*/ignore_label == 255);
    rename_labels(pair.truth, classes, mask);
  }
  for (size_t m = 0; m < one.predictions.size(); ++m) {
    const fs::path& file = one.predictions[m];
    if (image && file.extension() == ".dcm") {
      pair.predictions.push_back(on_series(one.truth, file, *image, classes));
      continue;
    }
    io::LabelMap map = io::read_label_map(file);
    rename_labels(map, classes, file);
    if (one.of_dataset[m] && !one.truth.prepared && !io::grid_difference(map, pair.truth).empty()) {
      if (auto original = io::onto_source_grid(map, pair.truth)) {
        map = *std::move(original);
        pair.is_resampled = true;
      }
    }
    add_prediction(std::move(map), file.extension() == ".dcm" || mask.extension() == ".dcm", one.truth.prepared != nullptr, pair);
  }
  return pair;
}

// Label 0 where the truth is not to be judged.
void ignore(Pair& pair, int64_t label) {
  if (label < 0) return;
  for (size_t i = 0; i < pair.truth.labels.size(); ++i) {
    if (pair.truth.labels[i] != label) continue;
    pair.truth.labels[i] = 0;
    for (io::LabelMap& prediction : pair.predictions) prediction.labels[i] = 0;
  }
}

void check_labels(const std::vector<uint8_t>& labels, const std::vector<std::string>& classes, const std::string& whose) {
  const auto highest = labels.empty() ? labels.end() : std::max_element(labels.begin(), labels.end());
  if (highest != labels.end() && *highest > classes.size())
    throw Error(ExitCode::data, concat(whose, " holds the label ", int{*highest}, ", which is not declared: there are ", classes.size(), " classes (",
                                       join(classes, ", "), ")"));
}

// Slice `index` across `axis` as a map of its own.
std::vector<uint8_t> slice_of(const std::vector<uint8_t>& labels, const std::array<int64_t, 3>& size, int axis, int64_t index) {
  const int64_t columns = axis == 0 ? size[1] : size[0], rows = axis == 2 ? size[1] : size[2];
  std::vector<uint8_t> slice;
  slice.reserve(static_cast<size_t>(rows * columns));
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      const int64_t x = axis == 0 ? index : column, y = axis == 1 ? index : axis == 0 ? column : row, z = axis == 2 ? index : row;
      slice.push_back(labels[static_cast<size_t>(x + size[0] * (y + size[1] * z))]);
    }
  }
  return slice;
}

eval::Grid slice_grid(const io::LabelMap& map, int axis) {
  const size_t columns = axis == 0 ? 1 : 0, rows = axis == 2 ? 1 : 2;
  return {{map.size[columns], map.size[rows], 1}, {map.spacing_mm[columns], map.spacing_mm[rows], map.spacing_mm[static_cast<size_t>(axis)]}};
}

// The classes: as asked for, as predicted, as the truth names them, or numbers up to the largest in the truth (then they are counted first).
std::vector<std::string> classes_of(const EvalArguments& arguments, const std::vector<EvalModel>& models, const Truth& truth,
                                    const std::vector<SegmentationCase>& cases, int64_t ignore_label) {
  if (!arguments.classes.empty()) return arguments.classes;
  for (const EvalModel& model : models) {
    if (!model.class_names.empty()) return model.class_names;
  }
  if (!truth.mask_names.empty()) return truth.mask_names;
  std::vector<std::vector<std::string>> named(cases.size());
  std::vector<std::array<bool, 256>> is_there(cases.size());
  parallel_for(static_cast<int64_t>(cases.size()), arguments.statistics.threads, [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    const TruthCase& one = cases[at].truth;
    if (is_dicom_case(one)) {
      named[at] = io::structure_names(one.file);
      return;
    }
    try {
      const io::LabelMap map = truth_map(one, {}, ignore_label == 255);
      named[at] = map.names;
      for (const uint8_t label : map.labels) is_there[at][label] = true;
    } catch (const Error&) {  // it is named when it is scored
    }
  });
  std::vector<std::string> names;
  for (const auto& own : named) {
    for (const std::string& name : own) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  if (!names.empty()) return names;
  std::vector<std::string> seen;
  for (size_t label = 1; label < 256; ++label) {
    if (static_cast<int64_t>(label) == ignore_label || std::none_of(is_there.begin(), is_there.end(), [&](const auto& own) { return own[label]; })) continue;
    while (names.size() < label) names.push_back(std::to_string(names.size() + 1));
    seen.push_back(std::to_string(label));
  }
  if (names.size() > 2 * seen.size() + 8)
    throw Error(ExitCode::data, concat("the labels of the truth are ", join(seen, ", "), ": not numbered from 1"),
                "number the classes 1, 2, ...; name them with --classes; or leave a label out of account with --ignore-label");
  if (names.empty()) throw Error(ExitCode::data, "no case of the truth has any foreground", "check --truth, or name the classes: --classes");
  return names;
}

struct Scored {
  bool has_millimetres = true, is_resampled = false;
  std::vector<std::vector<std::vector<eval::ClassScores>>> scores;  // [slice, or 0][model][class]
  std::string problem;
};

Scored score(const SegmentationCase& one, const EvalArguments& arguments, const std::vector<EvalModel>& models, const std::vector<std::string>& classes,
             int64_t ignore_label) {
  Pair pair = read_maps(one, classes, ignore_label);
  ignore(pair, ignore_label);
  check_labels(pair.truth.labels, classes, "the truth");
  for (size_t m = 0; m < models.size(); ++m) check_labels(pair.predictions[m].labels, classes, models[m].name);
  const auto num_classes = static_cast<int64_t>(classes.size());
  Scored scored;
  scored.has_millimetres = pair.truth.has_millimetres;
  scored.is_resampled = pair.is_resampled;
  if (!arguments.per_slice) {
    scored.scores.emplace_back();
    for (const io::LabelMap& prediction : pair.predictions)
      scored.scores[0].push_back(
          eval::score_segmentation(prediction.labels, pair.truth.labels, {pair.truth.size, pair.truth.spacing_mm}, num_classes, arguments.segmentation));
    return scored;
  }
  const int axis = one.truth.axis >= 0 ? one.truth.axis : eval_axis(models, pair.truth.size, pair.truth.spacing_mm);
  const eval::Grid grid = slice_grid(pair.truth, axis);
  for (int64_t index = 0; index < pair.truth.size[static_cast<size_t>(axis)]; ++index) {
    scored.scores.emplace_back();
    const std::vector<uint8_t> of_truth = slice_of(pair.truth.labels, pair.truth.size, axis, index);
    for (const io::LabelMap& prediction : pair.predictions)
      scored.scores.back().push_back(
          eval::score_segmentation(slice_of(prediction.labels, pair.truth.size, axis, index), of_truth, grid, num_classes, arguments.segmentation));
  }
  return scored;
}

}  // namespace

int eval_axis(const std::vector<EvalModel>& models, const std::array<int64_t, 3>& size, const std::array<double, 3>& spacing_mm) {
  for (const EvalModel& model : models) {
    if (model.slice_axis != "auto") return model.slice_axis == "x" ? 0 : model.slice_axis == "y" ? 1 : 2;
  }
  return io::slice_axis({size, spacing_mm, 1});
}

SegmentationPair read_pair(const SegmentationCase& one, size_t model, const std::vector<std::string>& classes, int64_t ignore_label) {
  SegmentationCase single{one.truth, {one.predictions[model]}, {one.of_dataset[model]}};
  Pair pair = read_maps(single, classes, ignore_label);
  ignore(pair, ignore_label);
  return {pair.truth.size, pair.truth.spacing_mm, std::move(pair.truth.labels), std::move(pair.predictions[0].labels)};
}

SegmentationInput score_segmentations(const EvalArguments& arguments, const std::vector<EvalModel>& models, const Truth& truth, const NamesTable* names,
                                      Problems& problems) {
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
        problems.add(name, concat("has no prediction of ", model.name, model.failed.contains(name) ? " (it could not be read there)" : ""));
        continue;
      }
      used.insert(match->second);
      matched[name].predictions.push_back(maps.at(match->second));
      matched[name].of_dataset.push_back(model.is_of_dataset());
    }
    for (const std::string& name : found) {
      if (!used.contains(name)) problems.add(name, concat("is predicted by ", model.name, ", but has no truth"));
    }
  }
  std::vector<SegmentationCase> cases;
  for (const std::string& name : truth_names) {
    if (!incomplete.contains(name)) cases.push_back(matched[name]);
  }
  if (cases.empty()) problems.raise();
  if (cases.empty()) throw Error(ExitCode::data, "no case is left to be evaluated");

  int64_t ignore_label = arguments.ignore_label;
  for (const EvalModel& model : models) ignore_label = ignore_label < 0 ? model.ignore_label : ignore_label;
  SegmentationInput input;
  input.study.classes = classes_of(arguments, models, truth, cases, ignore_label);
  for (const EvalModel& model : models) input.study.models.push_back(model.name);
  std::vector<Scored> scored(cases.size());
  parallel_for(static_cast<int64_t>(cases.size()), arguments.statistics.threads, [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    try {
      scored[at] = score(cases[at], arguments, models, input.study.classes, ignore_label);
    } catch (const Error& error) {
      scored[at].problem = error.what();
    }
  });
  if (const auto count = std::count_if(scored.begin(), scored.end(), [](const Scored& one) { return one.is_resampled; }); count > 0)
    input.remarks.push_back(
        concat("Measured on the files' own grid: predictions of slices that were resized when they were prepared were brought there, each voxel with "
               "the label of the nearest (",
               count, " of ", cases.size(), " cases)"));
  input.study.scores.resize(models.size());
  for (size_t i = 0; i < cases.size(); ++i) {
    if (!scored[i].problem.empty()) {
      problems.add(cases[i].truth.name, io::without(scored[i].problem, truth.identifying));
      continue;
    }
    for (size_t slice = 0; slice < scored[i].scores.size(); ++slice) {
      input.study.cases.push_back(cases[i].truth.name + (arguments.per_slice ? concat("/", slice) : ""));
      input.study.patients.push_back(cases[i].truth.patient);
      input.cases.push_back(cases[i]);
      if (arguments.per_slice) input.slices.push_back(static_cast<int64_t>(slice));
      for (size_t m = 0; m < models.size(); ++m) input.study.scores[m].push_back(scored[i].scores[slice][m]);
    }
  }
  problems.raise();
  input.study.has_millimetres = std::all_of(scored.begin(), scored.end(), [](const Scored& one) { return one.has_millimetres; });
  if (!input.study.has_millimetres && std::any_of(scored.begin(), scored.end(), [](const Scored& one) { return one.problem.empty() && one.has_millimetres; }))
    throw Error(ExitCode::data, "some cases are pictures, whose pixels have no size, others have millimetres", "evaluate them separately");
  if (!input.study.has_millimetres) {
    for (auto& of_model : input.study.scores) {
      for (auto& of_case : of_model) {
        for (eval::ClassScores& of_class : of_case) of_class.truth_ml = of_class.difference_ml = std::nan("");
      }
    }
  }
  if (input.study.cases.empty()) throw Error(ExitCode::data, "no case is left to be evaluated");
  return input;
}

}  // namespace vmae::run
