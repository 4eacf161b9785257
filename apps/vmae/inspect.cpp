#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "commands.h"
#include "name_arguments.h"
#include "torch_part.h"

namespace vmae::app {

void add_inspect(CLI::App& app, Context&) {
  auto* command = app.add_subcommand(
      "inspect",
      "Say what a file or folder holds: DICOM, volumes, pictures, manifests, prepared datasets, weights, runs");
  auto arguments = std::make_shared<run::InspectArguments>();
  command->add_option("path", arguments->path, "anything that vmae reads or writes")->required()->type_name("PATH");
  command->add_flag("--json", arguments->as_json, "for programs: everything as JSON");
  command->add_option("--png", arguments->png, "of images: write a contact sheet to look at")->type_name("FILE");
  command
      ->add_option(
          "--card", arguments->card,
          "of images: write a data card (what masks and labels were taken to be, with pictures) into this folder")
      ->type_name("DIR");
  command
      ->add_option("--label-values", arguments->label_values,
                   "of a card: mask values of the classes 1, 2, ..., as data.label_values")
      ->delimiter(',')
      ->type_name("N,...");
  command
      ->add_option("--ignore-label", arguments->ignore_label,
                   "of a card: the mask value that is no class, as data.ignore_label; default: as dataset.json says")
      ->check(CLI::Range(1, 255));
  command
      ->add_option("--npy", arguments->npy,
                   "of one image: write its stored numbers as a NumPy array (z, y, x[, channels])")
      ->type_name("FILE");
  command->add_flag("--verify", arguments->verify, "of a prepared dataset: read every item and compare the digest");
  add_names(*command, arguments->names);
  command->add_flag("--keys", arguments->all_keys, "of weights: list every key with its shape");
  command->footer(
      "Examples:\n  vmae inspect /archive/ct --png ct.png\n  vmae inspect data/ct --verify\n  vmae inspect runs/mr "
      "--keys");
  command->callback([arguments] {
    run::inspect(*arguments, std::cout);
    if (!arguments->card.empty()) torch_part().inspect_card(*arguments);
  });
}

}  // namespace vmae::app
