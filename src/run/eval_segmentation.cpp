// Label maps of every case are read, put on one grid, checked and scored; cases in parallel.
#include <algorithm>
#include <cmath>
#include <mutex>

#include "eval_input.h"
#include "vmae/core/log.h"
#include "vmae/core/parallel.h"
#include "vmae/core/text.h"
#include "vmae/io/case_names.h"
#include "vmae/io/file_name.h"
#include "vmae/io/label_map.h"
#include "vmae/io/label_meaning.h"
#include "vmae/io/mask_numbering.h"
#include "vmae/io/picture.h"
#include "vmae/io/prepared_mask.h"
#include "vmae/io/read_image.h"
#include "vmae/io/volume.h"

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

bool is_dicom_name(const fs::path& file) { return io::kind_of(file) == io::FileKind::dicom; }

bool is_dicom_case(const TruthCase& one) { return one.label_map.empty() && !one.file.series.empty(); }

// A DICOM mask lies on the grid of its series, so that is read too.
io::LabelMap on_series(const TruthCase& one, const fs::path& mask, const io::Volume& image, const std::vector<std::string>& classes) {
  io::SourceFile file = one.file;
  file.mask = mask;
  io::LabelMap map{image.size, image.spacing_mm, image.origin_mm, image.direction, true, io::read_mask(file, image, classes), classes};
  return map;
}

const fs::path& file_of(const TruthCase& one) { return one.label_map.empty() ? one.file.mask : one.label_map; }

// One side of the comparison: the truth, or one model's predictions. Numbers become classes by the rules of label_meaning.h. Nearly always a map by itself says
// enough; where it takes the whole side to know (is 255 the one class?) all of its maps are read once more.
class Side {
 public:
  Side(std::string whose, std::vector<TruthCase> cases, io::LabelRules rules, int threads)
      : whose_(std::move(whose)), cases_(std::move(cases)), rules_(std::move(rules)), threads_(threads) {
    rules_.is_command_line = true;
  }

  const io::LabelRules& rules() const { return rules_; }
  const std::vector<std::string>& classes() const { return classes_; }  // of the study

  // own: what this side calls its classes 1, 2, ... (if is_users, its values 1, 2, ...); empty: not known. classes: what they are called in the study, by the
  // user if is_users (then they are numbers' names on all sides). The same names in another order are matched
  // by name. Throws Error(data) where a name that both have stands for different numbers otherwise; other names are taken as other words for the same numbers.
  void set_names(const std::vector<std::string>& classes, const std::vector<std::string>& own, bool is_users) {
    rules_.names = classes_ = classes;
    if (is_users) rules_.own_names = own;
    io::label_meaning(rules_, {});  // what contradicts itself whatever the files hold is said at once
    if (is_users || own.empty() || own == classes) return;
    std::vector<uint8_t> to_study(own.size() + 1, 0);
    size_t found = 0;
    bool is_moved = false;
    for (size_t i = 0; i < own.size(); ++i) {
      const auto at = static_cast<size_t>(std::find(classes.begin(), classes.end(), own[i]) - classes.begin());
      if (at == classes.size()) continue;
      to_study[i + 1] = static_cast<uint8_t>(at + 1);
      is_moved |= at != i;
      ++found;
    }
    const std::string text = concat(whose_, " calls its classes [", join(own, ", "), "], the others [", join(classes, ", "), "]");
    if (!is_moved) return log::warning(text + ": taken as other words for the same numbers");
    if (found < own.size())
      throw Error(ExitCode::data, text + ": the same name stands for different numbers", "say what the numbers are called on all sides: --classes");
    log::info(text + ": matched by name");
    rules_.names = own;
    to_study_ = std::move(to_study);
  }

  void to_classes(io::LabelMap& map, const fs::path& file) const {
    io::LabelFacts facts;
    facts.add(io::count_labels(map.labels.data(), map.labels.size()), name_of(file));
    const bool says_enough = facts.voxels[255] == 0 || rules_.ignore == 255 || !rules_.values.empty() || rules_.names.size() > 1;
    if (!says_enough) {
      io::LabelFacts all = all_facts();
      for (size_t value = 0; value < all.first.size(); ++value) {
        if (facts.voxels[value] > 0) all.first[value] = facts.first[value];  // for messages: this map's own values are its own
      }
      facts = std::move(all);
    }
    io::label_meaning(rules_, facts).apply(map.labels.data(), map.labels.size());
    if (to_study_.empty()) return;
    for (uint8_t& label : map.labels) label = label == io::kIgnored ? label : to_study_[label];
  }

  // Of all maps that can be read and have no names of their own (DICOM). The names of the others, in their order, and what can't be read.
  const io::LabelFacts& all_facts() const { return all().facts; }
  const std::vector<std::string>& segment_names() const { return all().names; }
  const std::optional<Error>& problem() const { return all().problem; }

 private:
  struct Counted {
    io::LabelFacts facts;
    std::vector<std::string> names;
    std::optional<Error> problem;  // the first
  };

  const Counted& all() const {
    std::call_once(once_, [&] { count_all(); });
    return counted_;
  }

  void count_all() const {
    struct One {
      io::LabelCounts counts{};
      std::vector<std::string> names;
      std::optional<Error> problem;
    };
    std::vector<One> ones(cases_.size());
    parallel_for(static_cast<int64_t>(cases_.size()), threads_, [&](int64_t i) {
      One& one = ones[static_cast<size_t>(i)];
      try {
        const io::LabelMap map = truth_map(cases_[static_cast<size_t>(i)]);
        one.names = map.names;
        if (map.names.empty()) one.counts = io::count_labels(map.labels.data(), map.labels.size());
      } catch (const Error& error) {
        one.problem = error;
      }
    });
    for (size_t i = 0; i < ones.size(); ++i) {
      if (ones[i].problem && !counted_.problem) counted_.problem = ones[i].problem;
      if (!ones[i].problem && ones[i].names.empty()) counted_.facts.add(ones[i].counts, name_of(file_of(cases_[i])));
      counted_.names.insert(counted_.names.end(), ones[i].names.begin(), ones[i].names.end());
    }
  }

  std::string name_of(const fs::path& file) const { return concat(whose_, " (", file.filename().string(), ")"); }

  std::string whose_;  // "the truth", "the prediction of m0"
  std::vector<TruthCase> cases_;
  io::LabelRules rules_;
  std::vector<std::string> classes_;
  std::vector<uint8_t> to_study_;  // of its own classes; empty: the same
  int threads_;
  mutable std::once_flag once_;
  mutable Counted counted_;
};

}  // namespace

struct Sides {
  std::unique_ptr<Side> truth;
  std::vector<std::unique_ptr<Side>> models;
};

namespace {

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

io::LabelMap read_map(const TruthCase& one, const Side& side) {
  io::LabelMap map = truth_map(one);
  if (map.names.empty()) {
    side.to_classes(map, file_of(one));
  } else {
    rename_labels(map, side.classes(), file_of(one));
  }
  return map;
}

// A prediction, as a case that has its label map only.
TruthCase predicted(const fs::path& file) { return {.name = "", .patient = "", .label_map = file, .file = {}}; }

// model: which one; -1: all.
Pair read_maps(const SegmentationCase& one, const Sides& sides, int64_t model = -1) {
  Pair pair;
  std::optional<io::Volume> image;
  if (is_dicom_case(one.truth)) image = io::read_image(one.truth.file);
  const fs::path& mask = file_of(one.truth);
  const std::vector<std::string>& classes = sides.truth->classes();
  pair.truth = image ? on_series(one.truth, mask, *image, classes) : read_map(one.truth, *sides.truth);
  for (size_t m = 0; m < one.predictions.size(); ++m) {
    if (model >= 0 && m != static_cast<size_t>(model)) continue;
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

// What label maps call the classes 1, 2, ...: as is said elsewhere, else as their own headers do (not DICOM-SEG, which is matched by name). Throws Error(data)
// where they contradict that or each other.
std::vector<std::string> own_names(const std::vector<TruthCase>& maps, const std::vector<std::string>& said, const std::vector<std::string>& classes) {
  std::vector<io::SourceFile> files;
  for (const TruthCase& one : maps) {
    io::SourceFile file = one.label_map.empty() ? one.file : io::SourceFile{.path = {}, .name = one.label_map.filename().string(), .mask = one.label_map};
    if (io::is_volume(file.mask) || io::is_picture(file.mask)) files.push_back(std::move(file));
  }
  io::check_numbering(files, classes.empty() ? said : classes);
  const std::vector<std::string> names = io::structure_names(files, said);
  return said.empty() ? names : said;
}

// Names of the values 1, 2, ..., of the names of classes that have these values; a value without a class is called by its number.
std::vector<std::string> names_of_values(const std::vector<std::string>& classes, const std::vector<int64_t>& values) {
  if (values.size() != classes.size()) return classes;
  std::vector<std::string> names;
  for (int64_t value = 1; value <= *std::max_element(values.begin(), values.end()); ++value) {
    const auto of_class = std::find(values.begin(), values.end(), value) - values.begin();
    names.push_back(of_class < std::ssize(values) ? classes[static_cast<size_t>(of_class)] : std::to_string(value));
  }
  return names;
}

// The classes: as asked for, as predicted, as the truth names them, or numbers up to the largest in the truth (then they are counted first).
std::vector<std::string> classes_of(const EvalArguments& arguments, const std::vector<EvalModel>& models, const Truth& truth,
                                    const std::vector<SegmentationCase>& cases, const Side& side, const std::vector<std::string>& truth_names) {
  if (!arguments.classes.empty()) return arguments.classes;
  for (const EvalModel& model : models) {
    if (!model.class_names.empty()) return model.class_names;
  }
  if (!truth.mask_names.empty()) return truth_names;
  std::vector<std::string> names;
  const auto add = [&](const std::vector<std::string>& own) {
    for (const std::string& name : own) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  };
  for (const SegmentationCase& one : cases) {
    if (is_dicom_case(one.truth)) add(io::structure_names(one.truth.file));
  }
  add(side.segment_names());
  if (names.empty()) names = truth_names;
  if (names.empty()) names = io::label_meaning(side.rules(), side.all_facts()).names;
  if (!names.empty()) return names;
  if (side.problem()) throw Error(ExitCode::data, concat("no class is known: ", side.problem()->what()), side.problem()->hint());
  throw Error(ExitCode::data, "no case of the truth has any foreground", "check --truth, or name the classes: --classes");
}

// Rules of all sides, and the names of the classes.
Sides sides_of(const EvalArguments& arguments, const std::vector<EvalModel>& models, const Truth& truth, const std::vector<SegmentationCase>& cases) {
  io::LabelRules rules{.names = {}, .values = arguments.label_values, .ignore = arguments.ignore_label};
  for (const EvalModel& model : models) {
    if (rules.ignore < 0) rules.ignore = model.ignore_label;
    if (rules.values.empty()) rules.values = model.label_values;
  }
  if (rules.ignore < 0) rules.ignore = truth.ignore_label;
  std::vector<TruthCase> maps;
  for (const SegmentationCase& one : cases) {
    if (!is_dicom_case(one.truth)) maps.push_back(one.truth);
  }
  const int threads = arguments.statistics.threads;
  Sides sides{std::make_unique<Side>("the truth", maps, rules, threads), {}};
  const std::vector<std::string> by_value = own_names(maps, truth.mask_names, arguments.classes), truth_names = io::names_of_classes(by_value, rules.values);
  const std::vector<std::string> classes = classes_of(arguments, models, truth, cases, *sides.truth, truth_names);
  sides.truth->set_names(classes, arguments.classes.empty() ? truth_names : by_value, !arguments.classes.empty());
  rules.ignore = -1;  // predictions have classes everywhere
  for (size_t m = 0; m < models.size(); ++m) {
    maps.clear();
    for (const SegmentationCase& one : cases) maps.push_back(predicted(one.predictions[m]));
    // Predictions that say what their numbers mean are not asked.
    const bool says_classes = !models[m].class_names.empty();
    rules.values = says_classes || arguments.label_values.empty() ? models[m].label_values : arguments.label_values;
    const bool is_users = !arguments.classes.empty();
    std::vector<std::string> names = says_classes ? models[m].class_names : own_names(maps, {}, classes);
    if (says_classes && is_users) names = names_of_values(names, rules.values);
    if (!says_classes && !is_users) names = io::names_of_classes(names, rules.values);
    sides.models.push_back(std::make_unique<Side>("the prediction of " + models[m].name, std::move(maps), rules, threads));
    sides.models.back()->set_names(classes, names, is_users);
  }
  return sides;
}

struct Scored {
  bool has_millimetres = true, is_resampled = false;
  std::vector<std::vector<std::vector<eval::ClassScores>>> scores;  // [slice, or 0][model][class]
  std::string problem, hint;
};

Scored score(const SegmentationCase& one, const EvalArguments& arguments, const std::vector<EvalModel>& models, const Sides& sides) {
  Pair pair = read_maps(one, sides);
  ignore(pair);
  const auto num_classes = static_cast<int64_t>(sides.truth->classes().size());
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

SegmentationPair SegmentationInput::read_pair(size_t number, size_t model) const {
  Pair pair = read_maps(cases[number], *sides, static_cast<int64_t>(model));
  ignore(pair);
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

  SegmentationInput input;
  input.sides = std::make_shared<const Sides>(sides_of(arguments, models, truth, cases));
  input.study.classes = input.sides->truth->classes();
  input.ignore_label = input.sides->truth->rules().ignore;
  for (const EvalModel& model : models) input.study.models.push_back(model.name);
  std::vector<Scored> scored(cases.size());
  parallel_for(static_cast<int64_t>(cases.size()), arguments.statistics.threads, [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    try {
      scored[at] = score(cases[at], arguments, models, *input.sides);
    } catch (const Error& error) {
      scored[at].problem = error.what();
      scored[at].hint = error.hint();
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
      problems.advise(scored[i].hint);
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
