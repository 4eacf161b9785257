#include <iostream>
#include <memory>

#include "commands.h"
#include "config_arguments.h"
#include "vmae/runs/split_command.h"

namespace vmae::app {

void add_split(CLI::App& app, Context&) {
  auto* command = app.add_subcommand("split", "Divide patients into training, validation and test parts: splits.json");
  struct Arguments {
    ConfigArguments config;
    std::string input, output;
    bool overwrite = false;
  };
  auto arguments = std::make_shared<Arguments>();
  command
      ->add_option("--input", arguments->input,
                   "what to divide: a manifest CSV, a folder of images, or a prepared dataset")
      ->type_name("PATH");
  command->add_option("--output", arguments->output, "file to write")->type_name("FILE");
  command->add_flag("--overwrite", arguments->overwrite, "replace the file if it is there");
  arguments->config.add_to(*command, "split.scheme=5fold split.seed=1");
  command->footer(
      "Example:\n  vmae split --input data/list.csv --output splits.json split.scheme=72/8/20 split.seed=1\n"
      "  vmae pretrain data.train=data/list.csv data.splits=splits.json data.fold=0 data.label_fraction=10 ...\n"
      "The same cases, options and seed give the same file. All options: --print-config or docs/configuration.md");
  command->callback([arguments] {
    run::SplitConfig config;
    if (arguments->config.load(config))
      run::split(config, arguments->input, arguments->output, arguments->overwrite, std::cout);
  });
}

}  // namespace vmae::app
