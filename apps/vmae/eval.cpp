#include "vmae/evaluate/evaluate.h"

#include <memory>

#include "commands.h"
#include "number_checks.h"

namespace vmae::app {

namespace {

void add_files(CLI::App& command, run::EvalArguments& arguments) {
  command
      .add_option(
          "--truth", arguments.truth,
          "label maps, a table of labels, or what `vmae prepare` reads with masks or labels; default: the runs' own")
      ->type_name("PATH");
  command
      .add_option("--output", arguments.output,
                  "folder for the report and tables; default, of one run: its folder eval")
      ->type_name("DIR");
  command.add_flag("--overwrite", arguments.overwrite,
                   "use a folder that holds something, and replace files of the same name");
  command.add_option("--names", arguments.names, "of the models, in their order: A,B")
      ->delimiter(',')
      ->type_name("NAME,...");
  command.add_option("--part", arguments.part, "of a run: which of its predictions")
      ->check(CLI::IsMember({"auto", "out_of_fold", "test", "external_test"}))
      ->capture_default_str();
  command
      .add_option("--images", arguments.images,
                  "images of the cases, for the pictures of the report; default: the truth's, where it has them")
      ->type_name("PATH");
  command
      .add_option("--patients", arguments.patients,
                  "table with the columns case and patient; default: as the truth says")
      ->type_name("CSV");
  command
      .add_option("--names-table", arguments.names_table,
                  "of predictions of a prepared dataset: what `vmae prepare --names-table` wrote, where --truth has "
                  "the names of the files")
      ->type_name("FILE");
  command
      .add_option("--salt-file", arguments.salt_file,
                  "instead of --names-table, with what the dataset was prepared from as --truth: its "
                  "prepare.salt_file; default: your own salt")
      ->type_name("FILE");
}

void add_models_and_classes(CLI::App& command, run::EvalArguments& arguments) {
  command
      .add_option("--classes", arguments.classes,
                  "names of labels 1, 2, ..., or of the classes; default: as predicted, else as in the truth")
      ->delimiter(',')
      ->type_name("NAME,...");
  command
      .add_option("--findings", arguments.findings,
                  "columns of the truth that are the labels, as data.findings; default: as the runs were trained")
      ->delimiter(',')
      ->type_name("NAME,...");
  command
      .add_option("--positive", arguments.positive,
                  "binary tasks: the positive class; default: the one with scores, 1 of 0 and 1, or the later column")
      ->type_name("NAME");
  command
      .add_option("--reference", arguments.reference,
                  "model that the others are compared with, or all: all pairs; default: the first (of equal fraction)")
      ->type_name("NAME");
  command
      .add_option("--fractions", arguments.fractions,
                  "percent of the labels that each model was trained with; default: as the runs say")
      ->delimiter(',')
      ->type_name("N,...");
  command.add_flag("--skip-bad-cases", arguments.skip_bad_cases,
                   "leave out cases that can't be evaluated: they are named, exit code 6");
}

void add_statistics(CLI::App& command, metrics::StatisticsOptions& statistics) {
  command.add_option("--resamples", statistics.resamples, "of the bootstrap")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command.add_option("--seed", statistics.seed, "of the bootstrap")->capture_default_str();
  command.add_option("--level", statistics.level, "of confidence intervals")
      ->check(CLI::Range(0.5, 0.999))
      ->capture_default_str();
  command.add_option("--interval", statistics.interval, "bootstrap interval that tables show (summary.json has both)")
      ->check(CLI::IsMember({"percentile", "BCa"}))
      ->capture_default_str();
  command
      .add_option("--threads", statistics.threads,
                  "0: as many as affinity and cgroup allow; results do not depend on it")
      ->check(non_negative())
      ->capture_default_str();
}

metrics::EmptyRule empty_rule_of(const std::string& text) {
  if (text == "one") return metrics::EmptyRule::one;
  return text == "zero" ? metrics::EmptyRule::zero : metrics::EmptyRule::leave_out;
}

void add_segmentation(CLI::App& command, run::EvalArguments& arguments) {
  auto& segmentation = arguments.segmentation;
  command.add_flag("--per-slice", arguments.per_slice, "segmentation: slices instead of volumes, drawn by patient")
      ->group("Segmentation");
  command.add_option("--tolerance-mm", segmentation.tolerance_mm, "of the surface Dice")
      ->check(non_negative())
      ->capture_default_str()
      ->group("Segmentation");
  command
      .add_option_function<std::string>(
          "--empty", [&segmentation](const std::string& rule) { segmentation.empty = empty_rule_of(rule); },
          "a class in neither mask: leave-out (and count), one, or zero [leave-out]")
      ->check(CLI::IsMember({"leave-out", "one", "zero"}))
      ->group("Segmentation");
  command
      .add_option_function<std::string>(
          "--missing-distance",
          [&segmentation](const std::string& rule) { segmentation.is_missing_diagonal = rule == "diagonal"; },
          "distances of a class in one mask only: leave-out (and count), or the image's diagonal [leave-out]")
      ->check(CLI::IsMember({"leave-out", "diagonal"}))
      ->group("Segmentation");
  command.add_flag("!--no-distances", segmentation.has_distances, "only overlap: faster")->group("Segmentation");
  command
      .add_option("--label-values", arguments.label_values,
                  "labels of the classes in the files, as 128,255; default: as the runs say, else 1,2,...")
      ->delimiter(',')
      ->type_name("N,...")
      ->group("Segmentation");
  command
      .add_option("--ignore-label", arguments.ignore_label,
                  "label of the truth where nothing is judged; default: as the runs, else the truth's dataset.json say")
      ->check(CLI::Range(0, 255))
      ->group("Segmentation");
}

void add_classification(CLI::App& command, metrics::ThresholdOptions& threshold) {
  command
      .add_option_function<std::string>(
          "--threshold",
          [&threshold](const std::string& text) {
            if (text == "youden") {
              threshold.is_youden = true;
            } else if (const auto value = parse_number(text)) {
              threshold.value = *value;
            } else {
              throw CLI::ValidationError("--threshold", "'" + text + "' is neither a number nor youden");
            }
          },
          "of sensitivity, specificity and F1: a number, or youden [0.5]")
      ->group("Classification")
      ->type_name("X");
}

// What `vmae eval` and `vmae compare` have in common.
void add_common(CLI::App& command, const std::shared_ptr<run::EvalArguments>& arguments, Context& context) {
  add_files(command, *arguments);
  add_models_and_classes(command, *arguments);
  add_statistics(command, arguments->statistics);
  add_segmentation(command, *arguments);
  add_classification(command, arguments->threshold);
  command.callback([arguments, &context] {
    arguments->command_line = context.command_line;
    context.exit_code = run::evaluate(*arguments);
  });
}

}  // namespace

void add_eval(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand(
      "eval", "Compare predictions with the truth: metrics, intervals, tests, and a report to look at");
  auto arguments = std::make_shared<run::EvalArguments>();
  command
      ->add_option("--pred", arguments->predictions,
                   "folder of label maps, or CSV of scores (or the folder of a cases.csv); several are compared")
      ->type_name("PATH ...");
  command
      ->add_option(
          "--run", arguments->runs,
          "run of finetune-seg or finetune-cls, or a folder of its folds: its own out-of-fold or test predictions")
      ->type_name("DIR ...");
  add_common(*command, arguments, context);
  command->footer(
      "Examples:\n  vmae eval --run runs/heart\n  vmae eval --pred nnunet ours --truth labelsTs --names nnU-Net,ours "
      "--output report\n"
      "  vmae eval --pred scores.csv --truth labels.csv --output report\n"
      "Writes report.html, summary.json, cases.csv, tables (CSV, LaTeX) and figures (SVG). docs/eval.md");
}

void add_compare(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand(
      "compare", "The report of `vmae eval` over several runs: pretrained, scratch, other fractions of the labels");
  auto arguments = std::make_shared<run::EvalArguments>();
  command->add_option("runs", arguments->runs, "runs, or folders of predictions (baselines), of the same cases")
      ->required()
      ->type_name("RUN ...");
  add_common(*command, arguments, context);
  command->footer(
      "Example:\n  vmae compare runs/pretrained runs/scratch --output report\nRuns must have been tested on the same "
      "cases; other programs' predictions stand "
      "beside them. docs/eval.md");
}

}  // namespace vmae::app
