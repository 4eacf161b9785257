// What the masks of a dataset mean, and what they hold: looked at before a network is trained on them.
#include <map>

#include "segment_tasks.h"
#include "vmae/cases/channels.h"
#include "vmae/cases/class_names.h"
#include "vmae/cases/label_meaning.h"
#include "vmae/cases/mask_numbering.h"
#include "vmae/core/log.h"
#include "vmae/sources/source.h"

namespace vmae::run {

namespace {

// An nnU-Net cuts slices as its plan says, not as they were counted.
std::string mask_text(const data::LabelCensus& census, const std::vector<std::string>& names, bool is_nnunet) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < names.size(); ++i) parts.push_back(concat(names[i], " ", census.num_pixels[i + 1]));
  const int64_t num_slices = std::ssize(census.has_foreground) - census.num_unusable;
  return concat(is_nnunet ? "voxels: "
                          : concat(census.num_with_foreground, " of ", num_slices, " slices have foreground; pixels: "),
                join(parts, ", "),
                census.num_unusable > 0 ? concat("; slices that can't be used: ", census.num_unusable) : "");
}

// Adds the masks of parts that neither train nor validate in this run: of
// tests, of other folds and fractions. So all folds of a dataset mean the same.
void add_other_masks(const SegmentConfig& config, const std::vector<const std::vector<io::SourceFile>*>& parts,
                     int64_t ignore, io::LabelFacts& facts) {
  std::map<std::filesystem::path, std::vector<io::SourceFile>> lists;  // by prepared dataset; "": files
  for (const auto* part : parts) {
    for (const io::SourceFile& file : *part) {
      if (file.prepared_case >= 0 || !file.mask.empty())
        lists[file.prepared_case >= 0 ? file.path : ""].push_back(file);
    }
  }
  for (auto& [path, files] : lists) {
    const data::Dataset others(std::move(files), config.data.image,
                               std::make_shared<data::Quarantine>("", /*max_bad_fraction=*/1.0));
    data::add_facts(data::take_census(others, ignore), others, facts);
  }
}

// As the network takes them, so that its input has the channels that it expects.
std::vector<io::SourceFile> with_channels(const SegmentConfig& config, std::vector<io::SourceFile> files) {
  return config.data.channels == "single" ? io::single_channels(files) : std::move(files);
}

io::LabelMeaning find_meaning(const SegmentConfig& config, const Datasets& datasets, const data::LabelCensus& train,
                              const data::LabelCensus& val, int64_t ignore) {
  for (const std::string& remark : io::check_class_names(config.data.classes, "data.classes", ExitCode::usage))
    log::warning(remark);
  io::LabelRules rules{.names = config.data.classes, .values = config.data.label_values, .ignore = ignore};
  if (rules.names.empty() && !datasets.splits.mask_conflict.empty())
    throw Error(ExitCode::data, datasets.splits.mask_conflict,
                "give all the same numbers and names, or say with data.classes what the values mean in all of them");
  for (const std::vector<std::string>& own : datasets.splits.mask_names_of_sources)
    // throws where names are exchanged
    io::label_meaning({.names = rules.names, .own_names = own, .values = rules.values, .ignore = ignore}, {});
  std::vector<io::SourceFile> files = datasets.split.train;
  for (const auto* part : {&datasets.split.val, &datasets.split.test, &datasets.split.unused})
    files.insert(files.end(), part->begin(), part->end());
  io::check_numbering(files, rules.names.empty() ? datasets.splits.mask_names() : rules.names);
  const std::vector<std::string> structures = io::structure_names(files, datasets.splits.mask_names());
  rules.own_names = datasets.splits.mask_names().empty() ? structures : datasets.splits.mask_names();
  io::LabelFacts facts;
  data::add_facts(train, *datasets.train, facts);
  if (datasets.val) data::add_facts(val, *datasets.val, facts);
  // the names alone decide
  const bool is_told = !rules.values.empty() || rules.names.size() > 1 || rules.own_names.size() > 1;
  // what is wrong there is told before training
  std::vector<const std::vector<io::SourceFile>*> others{&datasets.split.test};
  if (!is_told) others.push_back(&datasets.split.unused);
  add_other_masks(config, others, ignore, facts);
  io::LabelMeaning meaning = io::label_meaning(rules, facts);
  io::LabelFacts of_test;  // held against what training makes of its masks
  const std::vector<io::SourceFile> external = config.data.test.empty()
                                                   ? std::vector<io::SourceFile>{}
                                                   : with_channels(config, io::find_source(config.data.test).files);
  add_other_masks(config, {&external}, ignore, of_test);
  if (of_test.num_masks > 0)
    io::label_meaning({.names = meaning.names, .values = rules.values, .ignore = ignore}, of_test);
  const char* how_learnt = config.model.name == "nnunet" ? "it is learnt as one" : "these values are learnt as classes";
  for (std::string& rule : io::region_rules(datasets.splits.regions, how_learnt))
    meaning.rules.push_back(std::move(rule));
  for (const std::string& rule : meaning.rules) log::info("masks: " + rule);
  return meaning;
}

}  // namespace

Classes find_classes(const SegmentConfig& config, const Datasets& datasets) {
  const int64_t ignore = io::ignored_value(config.data.ignore_label, datasets.splits.ignore_label);
  Classes classes;
  classes.train = data::take_census(*datasets.train, ignore);
  data::LabelCensus val = datasets.val ? data::take_census(*datasets.val, ignore) : data::LabelCensus{};
  const io::LabelMeaning meaning = find_meaning(config, datasets, classes.train, val, ignore);
  classes.names = meaning.names;
  classes.ignore = meaning.ignore;
  classes.card = card_of(datasets);
  classes.card.meaning = meaning;
  classes.card.parts[0].census = std::make_shared<const data::LabelCensus>(classes.train);
  if (datasets.val) classes.card.parts[1].census = std::make_shared<const data::LabelCensus>(val);
  classes.train = data::in_classes(std::move(classes.train), meaning);
  val = data::in_classes(std::move(val), meaning);
  if (!meaning.keeps_values) {
    datasets.train->set_classes(meaning.class_of);
    if (datasets.val) datasets.val->set_classes(meaning.class_of);
  }
  if (classes.train.num_with_foreground == 0)
    throw Error(ExitCode::data, "no training mask has any foreground",
                "check that the masks belong to the images, and data.ignore_label");
  log::info(concat("training masks: ", mask_text(classes.train, classes.names, config.model.name == "nnunet")));
  const auto warn_of_absent = [&](const data::LabelCensus& census, const std::string& text) {
    std::vector<std::string> absent;
    for (size_t i = 0; i < classes.names.size(); ++i) {
      if (census.num_pixels[i + 1] == 0) absent.push_back(concat(i + 1, " (", classes.names[i], ")"));
    }
    if (!absent.empty())
      log::warning(concat(absent.size() == 1 ? "class " : "classes ", join(absent, ", "),
                          absent.size() == 1 ? " is " : " are ", text));
  };
  warn_of_absent(classes.train, "in no training mask: can't be learnt");
  if (datasets.val) warn_of_absent(val, "in no validation mask: no Dice is measured");
  classes.can_measure_dice = val.num_with_foreground > 0;
  if (datasets.val && !classes.can_measure_dice)
    log::warning("no validation mask has any foreground: the loss decides which weights are the best, not Dice");
  const auto& seen = datasets.val ? val.has_foreground : classes.train.has_foreground;
  for (size_t i = 0; i < seen.size(); ++i) {
    if (seen[i]) classes.shown.push_back(static_cast<int64_t>(i));
  }
  return classes;
}

}  // namespace vmae::run
