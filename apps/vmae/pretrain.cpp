#include <memory>

#include "commands.h"
#include "config_arguments.h"
#include "rank_arguments.h"
#include "run_arguments.h"
#include "torch_part.h"

namespace vmae::app {

void add_pretrain(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand(
      "pretrain", "Pretrain a Swin encoder on unlabelled images: as masked autoencoder, or by contrastive learning");
  struct Arguments {
    ConfigArguments config;
    RankArguments ranks;
    RunArguments run;
  };
  auto arguments = std::make_shared<Arguments>();
  arguments->config.add_to(*command);
  arguments->run.add_to(*command);
  arguments->ranks.add_to(*command);
  command->footer(
      "Example:\n  vmae pretrain --config configs/pretrain/mr.yaml data.train=/data/mr run.dir=runs/mr\n"
      "Images: PNG, JPEG, TIFF, BMP, NIfTI, NRRD, MetaImage; a folder or a manifest CSV with the column `image`.\n"
      "The keys used most: run.dir, data.train, data.val, model.image_size, model.init, train.epochs,\n"
      "train.batch_size, train.micro_batch, train.precision, optim.lr. All of them: --print-config or "
      "docs/configuration.md");
  command->callback([arguments, &context] {
    run::PretrainConfig said, config;
    const auto read = [&] {
      said.model.mae.swin.in_channels = 0;  // not said
      arguments->config.read(said);
      if (!arguments->config.load(config)) return false;
      run::require_keys(config.run, config.data, !arguments->run.dry_run);
      return true;
    };
    const auto train = [&](train::World& world) {
      return torch_part().pretrain(
          config, arguments->run.arguments(context.command_line, said.model.mae.swin.in_channels), world);
    };
    context.exit_code = arguments->ranks.run(context, train, read);
  });
}

}  // namespace vmae::app
