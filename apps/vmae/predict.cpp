#include <memory>

#include "commands.h"
#include "name_arguments.h"
#include "number_checks.h"
#include "torch_part.h"

namespace vmae::app {

namespace {

void add_files(CLI::App& command, run::PredictArguments& arguments) {
  command
      .add_option("--weights", arguments.weights,
                  "runs, weight files or folders of nnU-Net's folds; several, or those of folds, are averaged")
      ->required()
      ->type_name("PATH ...");
  command
      .add_option("--input", arguments.input,
                  "what `vmae prepare` reads: a folder, DICOM, a volume, a picture, a manifest, a prepared dataset")
      ->required()
      ->type_name("PATH");
  command.add_option("--output", arguments.output, "folder for the predictions")->required()->type_name("DIR");
  command.add_flag("--overwrite", arguments.overwrite,
                   "use a folder that holds something, and replace files of the same name; also: begin anew where a "
                   "prediction was stopped");
  command.add_option("--layout", arguments.layout, "of the input")
      ->check(CLI::IsMember({"auto", "prepared", "manifest", "nnunet", "decathlon", "image_mask_folders", "dicom",
                             "class_folders", "files"}))
      ->capture_default_str();
  add_names(command, arguments.names);
}

void add_method(CLI::App& command, run::PredictOptions& options) {
  command.add_flag_function(
      "--mirror,!--no-mirror", [&options](int64_t given) { options.mirror = given > 0; },
      "average over mirror images: slower, often a little better. Not said: nnU-Net does, as its authors; others do "
      "not");
  command.add_flag("--probabilities", options.probabilities, "segmentation: also write each class's probabilities");
  command.add_flag("--overlays", options.overlays,
                   "segmentation: also write pictures to look at, classes in colour over the image: overlays/NAME.png");
  command.add_flag("--largest-component", options.largest_component,
                   "segmentation: of each class keep the largest connected part of a case");
  command
      .add_option(
          "--postprocessing", options.postprocessing,
          "segmentation: auto: what the folds of a run, or of nnU-Net's own folder, found to make label maps better "
          "(nnU-Net alone); none; or a file postprocessing.json")
      ->type_name("auto|none|FILE")
      ->capture_default_str();
  command
      .add_option(
          "--tiles", options.tiles,
          "segmentation: auto: as in training; always: tiles at the image's own pixels; never: the whole image resized")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->capture_default_str();
  command.add_option("--overlap", options.overlap, "of neighbouring tiles, as a share of their side")
      ->check(CLI::Range(0.0, 0.9))
      ->capture_default_str();
  command.add_option("--pool", options.pool, "classification: how slices make a case; default: as in training")
      ->check(CLI::IsMember({"mean", "max"}));
}

void add_computation(CLI::App& command, run::PredictOptions& options) {
  command.add_option("--batch", options.batch, "slices or tiles at once")->check(positive())->capture_default_str();
  command.add_option("--device", options.device, "where to compute")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  command.add_option("--precision", options.precision, "of the matrix products")
      ->check(CLI::IsMember({"auto", "fp32", "bf16", "fp16"}))
      ->capture_default_str();
  command.add_option("--threads", options.threads, "0: as many as affinity and cgroup allow")
      ->check(non_negative())
      ->capture_default_str();
}

}  // namespace

void add_predict(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand(
      "predict", "Segment or classify images with a fine-tuned model; results in the format that the images came in");
  auto arguments = std::make_shared<run::PredictArguments>();
  add_files(*command, *arguments);
  add_method(*command, arguments->options);
  add_computation(*command, arguments->options);
  command->footer(
      "Example:\n  vmae predict --weights runs/heart --input /data/new --output predictions\n"
      "Segmentation: NIfTI, NRRD and MetaImage in, the same out, on the same grid; DICOM series in, DICOM Segmentation "
      "out; pictures in, PNG out.\n"
      "Classification: cases.csv and slices.csv. Exit code 6: finished, but some cases could not be read. "
      "docs/predict.md");
  command->callback([arguments, &context] { context.exit_code = torch_part().predict(*arguments); });
}

}  // namespace vmae::app
