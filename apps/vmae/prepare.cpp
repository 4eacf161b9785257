#include "vmae/prepare/prepare.h"

#include <memory>

#include "commands.h"
#include "config_arguments.h"

namespace vmae::app {

void add_prepare(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand(
      "prepare", "Turn DICOM, volumes or pictures into a checked, de-identified dataset that is read fast");
  struct Arguments {
    ConfigArguments config;
    std::string input, output, names_table;
    bool overwrite = false, dry_run = false;
  };
  auto arguments = std::make_shared<Arguments>();
  command
      ->add_option(
          "--input", arguments->input,
          "a folder (DICOM, nnU-Net, Decathlon, images and masks, class folders, files), a manifest CSV, or a file")
      ->type_name("PATH");
  command
      ->add_option("--output", arguments->output,
                   "folder of the dataset; the same command goes on where it was stopped")
      ->type_name("DIR");
  command->add_flag("--overwrite", arguments->overwrite, "start over: delete the dataset that is there");
  command->add_flag("--dry-run", arguments->dry_run, "say what was found, and write nothing");
  command
      ->add_option("--names-table", arguments->names_table,
                   "also write which file each case was made of (CSV, for you alone: it identifies patients); also of "
                   "a dataset that is finished already. Not "
                   "in the dataset")
      ->type_name("FILE");
  arguments->config.add_to(*command, "prepare.modality=CT prepare.resize=[256,256]");
  command->footer(
      "Example:\n  vmae prepare --input /archive/ct --output data/ct\n  vmae pretrain data.train=data/ct "
      "run.dir=runs/ct\n"
      "Patients and names are written as salted hashes. Exit code 6: finished, but some cases were left out "
      "(quarantine.jsonl).\n"
      "All keys: --print-config or docs/configuration.md. Layouts and formats: docs/data.md");
  command->callback([arguments, &context] {
    run::PrepareConfig config;
    if (!arguments->config.load(config)) return;
    if (arguments->input.empty())
      throw Error(ExitCode::usage, "--input is not given", "name a folder, a manifest or a file");
    if (arguments->output.empty() && !arguments->dry_run)
      throw Error(ExitCode::usage, "--output is not given", "name a folder for the dataset, or use --dry-run");
    context.exit_code = run::prepare(config, {arguments->input, arguments->output, arguments->overwrite,
                                              arguments->dry_run, arguments->names_table});
  });
}

}  // namespace vmae::app
