#include "vmae/splits/splits.h"

namespace vmae::io {

void describe(Options& options, SplitOptions& split) {
  options.add("scheme", split.scheme,
              "5fold: five folds; in each, one fifth of the patients is the test part, and the rest trains and "
              "validates 9:1. kfold: likewise with split.folds. "
              "80/10/10, or any three whole numbers that sum to 100: one fold with 80 % training, 10 % validation, 10 "
              "% test. 90/10, or any two: one fold with 90 % "
              "training, 10 % validation, no test part. The paper: 5fold under 4,000 images, else 72/8/20; 90/10 for "
              "pretraining.");
  options.add("folds", split.folds,
              "for scheme = kfold: into how many parts the patients are divided, each of which is the test part once",
              in_range(2, 1000));
  options.add("seed", split.seed, "another seed, another division; the same seed and cases, the same one", at_least(0));
  options.add("stratify", split.stratify,
              "auto: every part gets its share of each label, where cases have labels. label: likewise, and it is an "
              "error if none has. none: by chance alone.",
              one_of({"auto", "label", "none"}));
  options.add("fractions", split.fractions,
              "label fractions in percent of the training part's patients, for data.label_fraction; nested: the "
              "patients of a smaller one are in every larger one. "
              "100 is always there.",
              in_range(1, 100));
}

}  // namespace vmae::io
