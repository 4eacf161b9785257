#include <iostream>
#include <memory>

#include "commands.h"
#include "config_arguments.h"
#include "vmae/runs/plan_command.h"

namespace vmae::app {

void add_plan(CLI::App& app, Context&) {
  auto* command = app.add_subcommand("plan", "nnU-Net's fingerprint and plan of a dataset, for its 2D configuration");
  struct Arguments {
    ConfigArguments config;
    std::string input, output, from;
    bool overwrite = false;
  };
  auto arguments = std::make_shared<Arguments>();
  command
      ->add_option(
          "--input", arguments->input,
          "images with masks: an nnU-Net or Decathlon folder, folders of images and masks, DICOM with RTSTRUCT "
          "or SEG, a manifest CSV, or a prepared dataset")
      ->type_name("PATH");
  command->add_option("--from", arguments->from, "read this plan instead, as nnU-Net or vmae wrote it")
      ->type_name("FILE");
  command
      ->add_option("--output", arguments->output,
                   "folder to write dataset_fingerprint.json and nnUNetPlans.json to; without it, the plan is printed "
                   "only")
      ->type_name("DIR");
  command->add_flag("--overwrite", arguments->overwrite,
                    "replace files that are there; other configurations of a plan stay");
  arguments->config.add_to(*command, "plan.gpu_memory_gb=24");
  command->footer(
      "Example:\n  vmae plan --input nnUNet_raw/Dataset004_Hippocampus --output nnUNet_preprocessed/"
      "Dataset004_Hippocampus\n"
      "The files are nnU-Net's own (2.8.1). docs/baselines.md says what is equal. All options: --print-config or "
      "docs/configuration.md");
  command->callback([arguments] {
    run::PlanConfig config;
    if (arguments->config.load(config))
      run::plan(config, {arguments->input, arguments->output, arguments->from, arguments->overwrite}, std::cout);
  });
}

}  // namespace vmae::app
