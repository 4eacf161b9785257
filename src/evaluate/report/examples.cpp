// Cases of a classification as pictures, the same for all
// models: those that are right, and wrong, with most confidence.
#include <algorithm>
#include <cmath>

#include "../slice.h"
#include "output.h"
#include "vmae/core/log.h"
#include "vmae/core/text.h"
#include "vmae/image/file_name.h"
#include "vmae/image/picture.h"
#include "vmae/sources/case_names.h"

namespace vmae::run {

namespace {

constexpr size_t kMostClasses = 8;

// How sure models are of a case: positive where they are right. Of probabilities from -1 to 1; other scores are divided
// by their largest.
class Certainty {
 public:
  explicit Certainty(const Evaluation& evaluation)
      : study_(*evaluation.classification), thresholds_(evaluation.thresholds) {
    for (size_t m = 0; m < study_.models.size(); ++m) {
      is_probability_.push_back(metrics::are_probabilities(study_, m));
      double largest = 0;
      for (size_t c = 0; c < study_.classes.size(); ++c) {
        for (size_t i = 0; i < study_.cases.size(); ++i) largest = std::max(largest, std::abs(margin(m, c, i)));
      }
      scale_.push_back(is_probability_[m] || largest == 0 ? 1 : largest);
    }
  }

  // Over the models; c: the finding (of classes any).
  double mean(size_t c, size_t i) const {
    double sum = 0;
    for (size_t m = 0; m < study_.models.size(); ++m) sum += margin(m, c, i) / scale_[m];
    return sum / static_cast<double>(study_.models.size());
  }

 private:
  double margin(size_t m, size_t c, size_t i) const {
    const auto& scores = study_.scores[m];
    if (study_.kind == metrics::LabelKind::multi_class) {
      double of_truth = 0, of_others = -INFINITY;
      for (size_t k = 0; k < study_.classes.size(); ++k) {
        if (study_.labels[k][i] == 1) of_truth = scores[k][i];
        if (study_.labels[k][i] != 1) of_others = std::max(of_others, scores[k][i]);
      }
      return of_truth - of_others;
    }
    if (study_.labels[c][i] < 0) return 0;
    const double threshold = thresholds_[m][c], above = scores[c][i] - threshold;
    const double room = above >= 0 ? 1 - threshold : threshold;
    const double distance = is_probability_[m] && room > 0 ? above / room : above;
    return study_.labels[c][i] == 1 ? distance : -distance;
  }

  const metrics::ClassificationStudy& study_;
  const std::vector<std::vector<double>>& thresholds_;
  std::vector<bool> is_probability_;
  std::vector<double> scale_;
};

struct Example {
  std::string truth;
  size_t number = 0, class_number = 0;
};
struct Examples {
  std::vector<Example> right, wrong;
};

// Of each class, or finding, one that is right and one that is wrong, among the cases that have an image.
Examples choose_examples(const Evaluation& evaluation) {
  const metrics::ClassificationStudy& study = *evaluation.classification;
  const bool is_multi_label = study.kind == metrics::LabelKind::multi_label;
  const Certainty certainty(evaluation);
  struct Group {
    std::string name;
    size_t class_number;
    int8_t label;
  };
  std::vector<Group> groups;
  if (study.kind == metrics::LabelKind::binary) groups.push_back({study.negative_class, 0, 0});
  for (size_t c = 0; c < std::min(study.classes.size(), kMostClasses); ++c) groups.push_back({study.classes[c], c, 1});
  Examples examples;
  for (const Group& group : groups) {
    double highest = 0, lowest = 0;
    size_t right = 0, wrong = 0;
    for (size_t i = 0; i < study.cases.size(); ++i) {
      const int8_t label = study.labels[group.class_number][i];
      if ((label != group.label && !is_multi_label) || !evaluation.images.contains(study.cases[i])) continue;
      const double value = certainty.mean(group.class_number, i);
      if (value > highest && label == group.label) {
        highest = value;
        right = i;
      }
      if (value < lowest) {
        lowest = value;
        wrong = i;
      }
    }
    if (highest > 0) examples.right.push_back({group.name, right, group.class_number});
    if (lowest == 0) continue;
    const bool is_absent = study.labels[group.class_number][wrong] != group.label;
    examples.wrong.push_back({(is_absent ? "no " : "") + group.name, wrong, group.class_number});
  }
  return examples;
}

// "ours: glioma 0.812"
std::string decision_text(const Evaluation& evaluation, size_t m, const Example& example) {
  const metrics::ClassificationStudy& study = *evaluation.classification;
  const auto& scores = study.scores[m];
  const size_t i = example.number;
  size_t c = example.class_number;
  if (study.kind == metrics::LabelKind::multi_class) {
    c = 0;
    for (size_t k = 1; k < study.classes.size(); ++k) c = scores[k][i] > scores[c][i] ? k : c;
  }
  return concat(study.models[m], ": ", study.classes[c], " ", report::number(scores[c][i]));
}

std::optional<std::string> picture_of(const Evaluation& evaluation, const TruthCase& one) {
  try {
    const io::Volume volume = image_of(one);
    const int axis = io::is_picture(one.file.path) ? 2 : eval_axis(evaluation.models, volume.size, volume.spacing_mm);
    const int64_t middle = volume.size[static_cast<size_t>(axis)] / 2;
    return slice_png(slice_grid_of(volume.size, volume.spacing_mm, axis), shown_slice(volume, axis, middle), {});
  } catch (const Error& error) {
    log::warning(concat("no picture of ", one.name, ": ", error.what()));
    return std::nullopt;
  }
}

void add_images_of(const std::filesystem::path& path, const std::vector<std::string>& cases,
                   std::map<std::string, TruthCase>& images) {
  const io::Source source = io::find_source(path);
  const std::vector<std::string> names = io::case_names(source.files, source.identifying);
  std::map<std::string, size_t> number_of;
  for (size_t i = 0; i < names.size(); ++i) number_of.emplace(names[i], i);
  // Tables may call cases with the endings of their files.
  std::vector<std::string> stems;
  std::map<std::string, std::string> case_of;
  for (const std::string& name : cases) {
    const std::string stem = number_of.contains(name) ? name : io::take_apart(name).stem;
    if (case_of.emplace(stem, name).second) stems.push_back(stem);
  }
  for (const auto& [stem, name] : match_names(stems, names, path.string()))
    images[case_of.at(stem)] = {
        .name = case_of.at(stem), .patient = "", .label_map = {}, .file = source.files[number_of.at(name)]};
}

}  // namespace

std::map<std::string, TruthCase> images_of_cases(const EvalArguments& arguments, const std::vector<EvalModel>& models,
                                                 const std::optional<Truth>& truth,
                                                 const std::vector<std::string>& cases) {
  std::map<std::string, TruthCase> images;
  if (!arguments.images.empty()) {
    add_images_of(arguments.images, cases, images);
    if (images.empty())
      throw Error(ExitCode::data, concat(arguments.images.string(), " has no image of the name of a case"),
                  "such as " + cases.at(0));
    if (images.size() < cases.size())
      log::warning(
          concat(arguments.images.string(), ": has images of ", images.size(), " of ", cases.size(), " cases"));
    return images;
  }
  if (truth) {
    for (const TruthCase& one : truth->cases) {
      if (!one.file.path.empty()) images[one.name] = one;
    }
    return images;
  }
  for (const EvalModel& model : models) {  // a table of labels beside a run: its data, where they still are
    if (model.truth.empty() || !images.empty()) continue;
    try {
      add_images_of(model.truth, cases, images);
    } catch (const Error& error) {
      log::debug(concat("no images of cases: ", error.what()));
    }
  }
  return images;
}

report::Section example_section(const Evaluation& evaluation) {
  const metrics::ClassificationStudy& study = *evaluation.classification;
  const bool is_one = study.models.size() == 1;
  report::Section section{.title = "Cases"};
  std::string text = concat("Of each ", study.kind == metrics::LabelKind::multi_label ? "finding" : "class",
                            " one case that is right and one that is wrong with the most confidence");
  text +=
      is_one
          ? ". Below each image its truth, and the score"
          : ", in the mean over the models: the same for all. Below each image its truth, and of each model the score";
  text += study.kind == metrics::LabelKind::multi_class ? " of the likeliest class." : ".";
  if (study.classes.size() > kMostClasses)
    text += concat(" The first ", kMostClasses, " of ", study.classes.size(), ".");
  section.paragraphs.push_back(std::move(text));
  const auto add = [&](const std::string& caption, const std::vector<Example>& examples) {
    report::PictureRow row{.caption = caption};
    for (const Example& example : examples) {
      const std::string& name = study.cases[example.number];
      const std::optional<std::string> png = picture_of(evaluation, evaluation.images.at(name));
      if (!png) continue;
      std::vector<std::string> texts;
      for (size_t m = 0; m < study.models.size(); ++m) texts.push_back(decision_text(evaluation, m, example));
      row.pictures.push_back({*png, concat("truth: ", example.truth, "; ", join(texts, "; "), " (", name, ")"),
                              concat("The image of ", name, ".")});
    }
    if (!row.pictures.empty()) section.rows.push_back(std::move(row));
  };
  const Examples examples = choose_examples(evaluation);
  add("Right with the most confidence", examples.right);
  add("Wrong with the most confidence", examples.wrong);
  return section;
}

}  // namespace vmae::run
