#pragma once
// What numbers mean on each side of an evaluation, the truth's and each model's, and what is measured of them.
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "input.h"
#include "vmae/cases/label_meaning.h"

namespace vmae::run {

// A prediction, as a case that has its label map only.
TruthCase predicted(const std::filesystem::path& file);
bool is_dicom_case(const TruthCase& one);
bool is_dicom_name(const std::filesystem::path& file);
const std::filesystem::path& mask_of(const TruthCase& one);

// One side of the comparison: the truth, or one model's predictions. Numbers become classes
// by the rules of label_meaning.h. Nearly always a map by itself says enough; where it
// takes the whole side to know (is 255 the one class?) all of its maps are read once more.
class Side {
 public:
  Side(std::string whose, std::vector<TruthCase> cases, io::LabelRules rules, int threads);

  const io::LabelRules& rules() const { return rules_; }
  const std::vector<std::string>& classes() const { return classes_; }  // of the study

  // own: what this side calls its classes 1, 2, ... (if is_users, its values 1, 2, ...); empty: not known.
  // classes: what they are called in the study, by the user if is_users (then they are numbers' names on all
  // sides). The same names in another order are matched by name. Throws Error(data) where a name that both
  // have stands for different numbers otherwise; other names are taken as other words for the same numbers.
  void set_names(const std::vector<std::string>& classes, const std::vector<std::string>& own, bool is_users);

  void to_classes(io::LabelMap& map, const std::filesystem::path& file) const;
  uint8_t class_of_value(int64_t value) const;  // in the study; 0: none. By the rules alone, without a look at the maps

  // Of all maps that can be read and have no names of their own (DICOM).
  // The names of the others, in their order, and what can't be read.
  const io::LabelFacts& all_facts() const { return all().facts; }
  const std::vector<std::string>& segment_names() const { return all().names; }
  const std::optional<Error>& problem() const { return all().problem; }

 private:
  struct Counted {
    io::LabelFacts facts;
    std::vector<std::string> names;
    std::optional<Error> problem;  // the first
  };

  const Counted& all() const;
  void count_all() const;
  std::string name_of(const std::filesystem::path& file) const;

  std::string whose_;  // "the truth", "the prediction of m0"
  std::vector<TruthCase> cases_;
  io::LabelRules rules_;
  std::vector<std::string> classes_;
  std::vector<uint8_t> to_study_;  // of its own classes; empty: the same
  int threads_;
  mutable std::once_flag once_;
  mutable Counted counted_;
};

// What a row of the report is about: one class, or a region, the union of several.
struct Measured {
  std::string name;
  std::vector<uint8_t> classes;
};

struct Sides {
  std::unique_ptr<Side> truth;
  std::vector<std::unique_ptr<Side>> models;
  // each class by itself, unless the truth's dataset.json has regions: then these, and the classes that it names
  std::vector<Measured> measured;
  std::vector<std::string> remarks;  // what a reader of the report must know of them
};

// Rules of all sides, the names of the classes, and what is measured.
Sides sides_of(const EvalArguments& arguments, const std::vector<EvalModel>& models, const Truth& truth,
               const std::vector<SegmentationCase>& cases);

}  // namespace vmae::run
