#include <memory>

#include "commands.h"
#include "config_arguments.h"
#include "rank_arguments.h"
#include "run_arguments.h"
#include "torch_part.h"

namespace vmae::app {

namespace {

struct Arguments {
  ConfigArguments config;
  RankArguments ranks;
  std::string fold;
  RunArguments run;
};

template <class Config>
void add(CLI::App& app, Context& context, const std::string& name, const std::string& description,
         const std::string& example) {
  auto* command = app.add_subcommand(name, description);
  auto arguments = std::make_shared<Arguments>();
  arguments->config.add_to(*command);
  command
      ->add_option("--fold", arguments->fold,
                   "a fold of data.splits, trained in run.dir/fold_K; all: one after the other")
      ->type_name("K|all");
  arguments->run.add_to(*command);
  arguments->ranks.add_to(*command);
  command->footer(example +
                  "The keys used most: run.dir, data.train, data.splits, model.init, model.image_size, train.epochs, "
                  "train.batch_size,\n"
                  "optim.lr. All of them: --print-config or docs/configuration.md. Guide: docs/finetune.md");
  command->callback([arguments, &context] {
    Config said, config;
    // With the architecture of the weights, where the config does not say it: that needs LibTorch. False: it is
    // printed.
    const auto resolve = [&] {
      config = run::defaults_for(said);
      config.model.name = said.model.name;
      if (!said.model.init.empty())
        torch_part().adopt_architecture(
            config.model, torch_part().adopted_weights(said.run.dir, said.model.init, arguments->fold, find_launch(),
                                                       arguments->run.if_exists()));
      return arguments->config.load(config);
    };
    const auto read = [&] {
      said.train.epochs = 0;  // not said
      said.model.net.swin.in_channels = 0;
      arguments->config.read(said);
      if (arguments->config.print) return resolve();
      run::require_keys(said.run, said.data, !arguments->run.dry_run);
      return true;
    };
    const auto train = [&](train::World& world) {
      resolve();
      return torch_part().finetune_folds(
          config, arguments->run.arguments(context.command_line, said.model.net.swin.in_channels), arguments->fold,
          world);
    };
    context.exit_code = arguments->ranks.run(context, train, read);
  });
}

}  // namespace

void add_finetune_seg(CLI::App& app, Context& context) {
  add<run::SegmentConfig>(
      app, context, "finetune-seg", "Fine-tune a Swin-UNet, or train a network to compare it with, to segment images",
      "Example:\n  vmae finetune-seg data.train=/data/Dataset001_Heart model.init=runs/mr run.dir=runs/heart\n"
      "  vmae predict --weights runs/heart --input /data/new --output predictions\n"
      "Masks: nnU-Net or Decathlon folders, images/ beside labels/ or masks/, a manifest CSV with `mask`, DICOM "
      "RTSTRUCT or SEG.\n");
}

void add_finetune_cls(CLI::App& app, Context& context) {
  add<run::ClassifyConfig>(
      app, context, "finetune-cls", "Fine-tune a Swin classifier: classes, or findings of which several can be true",
      "Example:\n  vmae finetune-cls data.train=labels.csv model.init=runs/xray run.dir=runs/tuberculosis\n"
      "  vmae predict --weights runs/tuberculosis --input /data/new --output predictions\n"
      "Labels: a manifest CSV with `label` (a class) or a column per finding (0, 1 or empty), or a folder per "
      "class.\n");
}

}  // namespace vmae::app
