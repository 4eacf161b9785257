// Names and rules of the truth and of each model's predictions are brought together here.
#include "sides.h"

#include <algorithm>

#include "vmae/cases/class_names.h"
#include "vmae/cases/mask_numbering.h"
#include "vmae/cases/read_image.h"
#include "vmae/core/counting.h"
#include "vmae/core/log.h"
#include "vmae/core/parallel.h"
#include "vmae/core/text.h"
#include "vmae/image/file_name.h"
#include "vmae/image/picture.h"
#include "vmae/volume/volume.h"

namespace vmae::run {

namespace fs = std::filesystem;

TruthCase predicted(const fs::path& file) { return {.name = "", .patient = "", .label_map = file, .file = {}}; }

bool is_dicom_name(const fs::path& file) { return io::kind_of(file) == io::FileKind::dicom; }

bool is_dicom_case(const TruthCase& one) { return one.label_map.empty() && !one.file.series.empty(); }

const fs::path& mask_of(const TruthCase& one) { return one.label_map.empty() ? one.file.mask : one.label_map; }

Side::Side(std::string whose, std::vector<TruthCase> cases, io::LabelRules rules, int threads)
    : whose_(std::move(whose)), cases_(std::move(cases)), rules_(std::move(rules)), threads_(threads) {
  rules_.is_command_line = true;
}

void Side::set_names(const std::vector<std::string>& classes, const std::vector<std::string>& own, bool is_users) {
  classes_ = classes;
  rules_.names = classes;
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
  const std::string text =
      concat(whose_, " calls its classes [", join(own, ", "), "], the others [", join(classes, ", "), "]");
  if (!is_moved) return log::warning(text + ": taken as other words for the same numbers");
  if (found < own.size())
    throw Error(ExitCode::data, text + ": the same name stands for different numbers",
                "say what the numbers are called on all sides: --classes");
  log::info(text + ": matched by name");
  rules_.names = own;
  to_study_ = std::move(to_study);
}

void Side::to_classes(io::LabelMap& map, const fs::path& file) const {
  io::LabelFacts facts;
  facts.add(io::count_labels(map.labels.data(), map.labels.size()), name_of(file));
  const bool says_enough =
      facts.voxels[255] == 0 || rules_.ignore == 255 || !rules_.values.empty() || rules_.names.size() > 1;
  if (!says_enough) {
    io::LabelFacts all = all_facts();
    for (size_t value = 0; value < all.first.size(); ++value) {
      // for messages: this map's own values are its own
      if (facts.voxels[value] > 0) all.first[value] = facts.first[value];
    }
    facts = std::move(all);
  }
  io::label_meaning(rules_, facts).apply(map.labels.data(), map.labels.size());
  if (to_study_.empty()) return;
  for (uint8_t& label : map.labels) label = label == io::kIgnored ? label : to_study_[label];
}

uint8_t Side::class_of_value(int64_t value) const {
  if (value < 1 || value > 255) return 0;
  const uint8_t own = io::label_meaning(rules_, {}).class_of[static_cast<size_t>(value)];
  return own == 0 || own == io::kIgnored || to_study_.empty() ? own % io::kIgnored : to_study_[own];
}

const Side::Counted& Side::all() const {
  std::call_once(once_, [&] { count_all(); });
  return counted_;
}

void Side::count_all() const {
  struct One {
    io::LabelCounts counts{};
    std::vector<std::string> names;
    std::optional<Error> problem;
  };
  std::vector<One> ones(cases_.size());
  Counting counting("label maps", std::ssize(cases_));
  parallel_for(static_cast<int64_t>(cases_.size()), threads_, [&](int64_t i) {
    One& one = ones[static_cast<size_t>(i)];
    try {
      const io::LabelMap map = truth_map(cases_[static_cast<size_t>(i)]);
      one.names = map.names;
      if (map.names.empty()) one.counts = io::count_labels(map.labels.data(), map.labels.size());
    } catch (const Error& error) {
      one.problem = error;
    }
    counting.add();
  });
  for (size_t i = 0; i < ones.size(); ++i) {
    if (ones[i].problem && !counted_.problem) counted_.problem = ones[i].problem;
    if (!ones[i].problem && ones[i].names.empty())
      counted_.facts.add(ones[i].counts,
                         name_of(mask_of(cases_[i]).empty() ? fs::path(cases_[i].name) : mask_of(cases_[i])));
    counted_.names.insert(counted_.names.end(), ones[i].names.begin(), ones[i].names.end());
  }
}

std::string Side::name_of(const fs::path& file) const { return concat(whose_, " (", file.filename().string(), ")"); }

namespace {

// What label maps call the classes 1, 2, ...: as is said elsewhere, else as their own headers do (not
// DICOM-SEG, which is matched by name). Throws Error(data) where they contradict that or each other.
std::vector<std::string> own_names(const std::vector<TruthCase>& maps, const std::vector<std::string>& said,
                                   const std::vector<std::string>& classes) {
  std::vector<io::SourceFile> files;
  for (const TruthCase& one : maps) {
    io::SourceFile file =
        one.label_map.empty()
            ? one.file
            : io::SourceFile{.path = {}, .name = one.label_map.filename().string(), .mask = one.label_map};
    if (io::is_volume(file.mask) || io::is_picture(file.mask)) files.push_back(std::move(file));
  }
  io::check_numbering(files, classes.empty() ? said : classes);
  const std::vector<std::string> names = io::structure_names(files, said);
  return said.empty() ? names : said;
}

// Names of the values 1, 2, ..., of the names of classes that have
// these values; a value without a class is called by its number.
std::vector<std::string> names_of_values(const std::vector<std::string>& classes, const std::vector<int64_t>& values) {
  if (values.size() != classes.size()) return classes;
  std::vector<std::string> names;
  for (int64_t value = 1; value <= *std::max_element(values.begin(), values.end()); ++value) {
    const auto of_class = std::find(values.begin(), values.end(), value) - values.begin();
    names.push_back(of_class < std::ssize(values) ? classes[static_cast<size_t>(of_class)] : std::to_string(value));
  }
  return names;
}

// The classes: as asked for, as predicted, as the truth names them, or
// numbers up to the largest in the truth (then they are counted first).
std::vector<std::string> classes_of(const EvalArguments& arguments, const std::vector<EvalModel>& models,
                                    const Truth& truth, const std::vector<SegmentationCase>& cases, const Side& side,
                                    const std::vector<std::string>& truth_names) {
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
  if (side.problem())
    throw Error(ExitCode::data, concat("no class is known: ", side.problem()->what()), side.problem()->hint());
  throw Error(ExitCode::data, "no case of the truth has any foreground",
              "check --truth, or name the classes: --classes");
}

// The ignored value of the truth: as its training had it, as it says itself, or as the dataset.json
// beside predictions has it. Throws Error(data) where one ignores a value that the other calls a class.
int64_t ignored_in_truth(const std::vector<EvalModel>& models, const Truth& truth) {
  const auto names = [](const std::vector<std::string>& classes, int64_t value) {
    return value >= 1 && value <= std::ssize(classes);
  };
  const auto refuse = [](const std::string& one, int64_t value, const std::string& other, const std::string& name) {
    throw Error(ExitCode::data, concat(one, " ignores the value ", value, ", which ", other, " calls ", name),
                "say which is meant: --ignore-label, and --classes for the names of the values 1, 2, ...");
  };
  int64_t ignored = -1;
  for (const EvalModel& model : models) {
    if (!model.run.empty() && ignored < 0) ignored = model.ignore_label;
  }
  if (ignored < 0) ignored = truth.ignore_label;
  for (const EvalModel& model : models) {
    if (!model.run.empty() || !model.label_values.empty()) continue;
    if (names(truth.mask_names, model.ignore_label))
      refuse("the dataset.json beside the prediction of " + model.name, model.ignore_label, "the truth",
             truth.mask_names[static_cast<size_t>(model.ignore_label - 1)]);
    if (names(model.class_names, ignored))
      refuse("the truth", ignored, "the prediction of " + model.name,
             model.class_names[static_cast<size_t>(ignored - 1)]);
    if (ignored < 0) ignored = model.ignore_label;
  }
  return ignored;
}

// What a truth in DICOM calls its structures, in its order; empty: it has numbers.
std::vector<std::string> structures_of(const TruthCase& one) {
  if (is_dicom_case(one)) return io::structure_names(one.file);
  if (!is_dicom_name(mask_of(one))) return {};
  // of one that can be read
  return io::structure_names(std::vector{io::SourceFile{.path = {}, .name = one.name, .mask = mask_of(one)}});
}

// Numbers of predictions without names stand for the structures of a DICOM
// truth in their order: said, and refused where the files have several orders.
void tell_order_of_structures(const std::vector<SegmentationCase>& cases, const std::string& model,
                              const std::vector<std::string>& classes, Sides& sides) {
  std::vector<std::string> taken;
  for (size_t i = 0; i < classes.size(); ++i) taken.push_back(concat(i + 1, " for ", classes[i]));
  bool is_dicom = false;
  for (const SegmentationCase& one : cases) {
    const std::vector<std::string> structures = structures_of(one.truth);
    is_dicom |= !structures.empty();
    size_t last = 0;
    for (const std::string& name : structures) {
      const auto at = static_cast<size_t>(std::find(classes.begin(), classes.end(), name) - classes.begin());
      if (at < last)
        throw Error(
            ExitCode::data,
            concat("the prediction of ", model,
                   " has numbers without names, and the masks of the truth list their structures in several orders (",
                   one.truth.name, ": ", join(structures, ", "), ")"),
            "say what the numbers 1, 2, ... mean: --classes");
      last = at;
    }
  }
  if (!is_dicom) return;
  sides.remarks.push_back(concat("The numbers of ", model, " have no names: by the order of the truth's structures, ",
                                 join(taken, ", "), " is taken."));
  log::warning(sides.remarks.back() + " --classes says otherwise");
}

// What dataset.json names: its regions, and the values that have names of
// their own; without regions, or where the user names the classes: each class.
void find_measured(const EvalArguments& arguments, const std::vector<EvalModel>& models, const Truth& truth,
                   Sides& sides) {
  std::vector<io::LabelRegion> regions = truth.regions;
  const Side* whose = sides.truth.get();  // whose values they hold
  for (size_t m = 0; m < models.size() && regions.empty(); ++m) {
    regions = models[m].regions;
    whose = sides.models[m].get();
  }
  const std::vector<std::string>& classes = sides.truth->classes();
  std::vector<int64_t> part_of_region(classes.size() + 1, 0);  // the value of a class that is one
  for (const io::LabelRegion& region : regions) {
    if (!arguments.classes.empty() || region.values.size() < 2) continue;
    // rows over all classes have names too
    Measured measured{metrics::is_whole(region.name) ? "region " + region.name : region.name, {}};
    for (const int64_t value : region.values) measured.classes.push_back(whose->class_of_value(value));
    if (std::count(measured.classes.begin(), measured.classes.end(), 0) > 0) {
      sides.remarks.push_back(
          concat("The region ", region.name, " is not measured: not all of its values are classes here."));
      continue;
    }
    for (size_t i = 0; i < measured.classes.size(); ++i) part_of_region[measured.classes[i]] = region.values[i];
    sides.measured.push_back(std::move(measured));
  }
  if (sides.measured.empty()) {
    for (size_t label = 1; label <= classes.size(); ++label)
      sides.measured.push_back({classes[label - 1], {static_cast<uint8_t>(label)}});
    return;
  }
  std::vector<std::string> parts;
  for (size_t label = 1; label <= classes.size(); ++label) {
    const std::string& name = classes[label - 1];
    if (part_of_region[label] != 0 && name == io::nameless_label(part_of_region[label])) {
      parts.push_back(name);
    } else {
      sides.measured.push_back({name, {static_cast<uint8_t>(label)}});
    }
  }
  sides.remarks.push_back(concat(
      "Regions are unions of classes, as dataset.json has them.",
      parts.empty()
          ? ""
          : " Classes without a name of their own are measured as parts of them only: " + join(parts, ", ") + "."));
}

}  // namespace

Sides sides_of(const EvalArguments& arguments, const std::vector<EvalModel>& models, const Truth& truth,
               const std::vector<SegmentationCase>& cases) {
  io::LabelRules rules{.names = {}, .values = arguments.label_values, .ignore = arguments.ignore_label};
  for (const EvalModel& model : models) {
    if (rules.values.empty()) rules.values = model.label_values;
  }
  if (rules.ignore < 0) rules.ignore = ignored_in_truth(models, truth);
  std::vector<TruthCase> maps;
  for (const SegmentationCase& one : cases) {
    if (!is_dicom_case(one.truth)) maps.push_back(one.truth);
  }
  const int threads = arguments.statistics.threads;
  Sides sides{std::make_unique<Side>("the truth", maps, rules, threads), {}, {}, {}};
  const std::vector<std::string> by_value = own_names(maps, truth.mask_names, arguments.classes),
                                 truth_names = io::names_of_classes(by_value, rules.values);
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
    const bool has_numbers = std::any_of(
        cases.begin(), cases.end(), [&](const SegmentationCase& one) { return !is_dicom_name(one.predictions[m]); });
    if (names.empty() && !is_users && has_numbers) tell_order_of_structures(cases, models[m].name, classes, sides);
    sides.models.push_back(
        std::make_unique<Side>("the prediction of " + models[m].name, std::move(maps), rules, threads));
    sides.models.back()->set_names(classes, names, is_users);
  }
  find_measured(arguments, models, truth, sides);
  return sides;
}

}  // namespace vmae::run
