#include <iostream>
#include <memory>

#include "commands.h"
#include "number_checks.h"
#include "rank_arguments.h"
#include "torch_part.h"
#include "vmae/runs/model_names.h"
#include "vmae/tools/bench_eval.h"

namespace vmae::app {

void add_forward(CLI::App& app, Context&) {
  auto* command =
      app.add_subcommand("forward", "One evaluation-mode forward pass over tensors, to compare with other programs");
  auto arguments = std::make_shared<run::ForwardArguments>();
  command->add_option("--model", arguments->model, "the model")
      ->check(CLI::IsMember(run::model_names()))
      ->capture_default_str();
  command->add_option("--weights", arguments->weights, "weights: .safetensors, .pth, or the folder of a run")
      ->required()
      ->type_name("PATH");
  command
      ->add_option("--input", arguments->input,
                   "safetensors with `image` (B, C, H, W) float32 and, optionally, `noise` (B, units)")
      ->required()
      ->type_name("FILE");
  command->add_option("--output", arguments->output, "safetensors to write: pred, loss, mask, noise; or logits")
      ->required()
      ->type_name("FILE");
  command->add_option("--seed", arguments->seed, "of the noise, where the input has none")->capture_default_str();
  command
      ->add_option(
          "overrides", arguments->model_overrides,
          "model options as key=value, for example norm_pix_loss=true; the default is what the weights' file says")
      ->type_name("key=value");
  command->callback([arguments] { torch_part().forward(*arguments); });
}

void add_export(CLI::App& app, Context&) {
  auto* command =
      app.add_subcommand("export", "Write weights as .safetensors or as a .pth for torch.load(weights_only=True)");
  struct Arguments {
    std::string weights, output;
    bool overwrite = false, nnunet = false;
  };
  auto arguments = std::make_shared<Arguments>();
  command
      ->add_option("--weights", arguments->weights,
                   "weights: .safetensors, .pth, or the folder of a run (its best weights) or of nnU-Net's folds")
      ->required()
      ->type_name("PATH");
  command
      ->add_option("--output", arguments->output,
                   "file to write; its ending decides the format. With --nnunet a folder")
      ->required()
      ->type_name("PATH");
  command->add_flag("--nnunet", arguments->nnunet,
                    "an nnU-Net, or all of its folds, as the folder --output that nnU-Net itself predicts with");
  command->add_flag("--overwrite", arguments->overwrite, "replace the file");
  command->footer("Example:\n  vmae export --weights runs/mr --output mr.pth");
  command->callback([arguments] {
    const auto write = arguments->nnunet ? &TorchPart::export_nnunet : &TorchPart::export_weights;
    (torch_part().*write)(arguments->weights, arguments->output, arguments->overwrite);
  });
}

void add_doctor(CLI::App& app, Context& context) {
  auto* command =
      app.add_subcommand("doctor", "Print versions, devices, threads, memory, instruction sets, and what is wrong");
  struct Arguments {
    RankArguments ranks;
    bool distributed = false;
    std::string device = "auto";
    double timeout_s = 60;
  };
  auto arguments = std::make_shared<Arguments>();
  auto* distributed = command->add_flag(
      "--distributed", arguments->distributed,
      "check several ranks instead: start it as training will be started (srun, torchrun, mpirun, --nproc-per-node)");
  arguments->ranks.add_to(*command)->needs(distributed);
  command->add_option("--device", arguments->device, "of the ranks")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str()
      ->needs(distributed);
  command->add_option("--timeout", arguments->timeout_s, "seconds that a rank waits for the others")
      ->check(positive())
      ->capture_default_str()
      ->needs(distributed);
  command->footer("Example:\n  srun --nodes 2 --ntasks-per-node 8 --gpus-per-node 8 vmae doctor --distributed");
  command->callback([arguments, &context] {
    const auto code = [](bool is_good) { return is_good ? ExitCode::ok : ExitCode::internal; };
    if (!arguments->distributed) {
      run::Findings found = run::doctor_machine(std::cout);
      std::cout.flush();  // before an error that says why LibTorch is not there
      const TorchPart& part = torch_part();
      context.exit_code = code(part.doctor(torch_origin(), std::move(found), std::cout));
      return;
    }
    context.exit_code = arguments->ranks.run(context, [&](train::World& world) {
      return code(torch_part().doctor_distributed(world, arguments->device, arguments->timeout_s, std::cout));
    });
  });
}

namespace {

// What `vmae bench` can time, and the options by which it is chosen.
struct BenchCommand {
  run::BenchArguments training;
  run::LoaderBenchArguments loader;
  run::EvalBenchArguments statistics;
  RankArguments ranks;
  CLI::Option *batch = nullptr, *image_size = nullptr, *plan = nullptr, *dataset = nullptr, *calculation = nullptr;

  void add_training(CLI::App& command) {
    command
        .add_option(
            "--model", training.model,
            "which training step: pretraining (mae, simclr), segmentation (9 classes), classification (5 classes)")
        ->check(CLI::IsMember(run::model_names()))
        ->capture_default_str();
    command.add_option("--device", training.device, "where to run")
        ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
        ->capture_default_str();
    command.add_option("--precision", training.precision, "of the matrix products")
        ->check(CLI::IsMember({"auto", "fp32", "bf16", "fp16"}))
        ->capture_default_str();
    batch = command.add_option("--batch", training.batch, "images per step, of all ranks; with --loader 64")
                ->check(positive())
                ->capture_default_str();
    command.add_option("--steps", training.steps, "timed steps")->check(positive())->capture_default_str();
    command.add_option("--warmup", training.warmup, "steps before them")->check(non_negative())->capture_default_str();
    image_size = command.add_option("--image-size", training.image_size, "side of the images in pixels")
                     ->check(positive())
                     ->capture_default_str();
    command.add_option("--threads", training.threads, "0: as many as affinity and cgroup allow")->capture_default_str();
    command.add_flag("--cuda-graph", training.cuda_graph, "as train.cuda_graph: record a step once and replay it");
    command
        .add_option("--deterministic", training.deterministic,
                    "as run.deterministic: the same bits every time; a CPU always is")
        ->capture_default_str();
    command
        .add_option("--trace", training.trace,
                    "write what one more step is made of (operators, kernels) to this file, for chrome://tracing and "
                    "ui.perfetto.dev")
        ->type_name("FILE");
    ranks.add_to(command);
    command
        .add_option("--checkpoint", training.checkpoint, "write a checkpoint to this file after the steps, and time it")
        ->type_name("FILE");
  }

  void add_loader(CLI::App& command) {
    dataset = command.add_option("--loader", loader.dataset, "time the loader alone, on this prepared dataset")
                  ->type_name("DIR");
    plan = command
               .add_option("--plan", training.plan,
                           "nnU-Net's plans.json. --model nnunet: of its network and patches. --loader: DIR holds "
                           "the cases preprocessed by it, and no others (nnunet.preprocessed); they are augmented "
                           "as nnU-Net does")
               ->excludes(image_size)
               ->type_name("FILE");
    const auto of_loader = [this](CLI::Option* option) { option->needs(dataset)->capture_default_str(); };
    of_loader(command.add_option("--task", loader.task, "whose augmentations")
                  ->check(CLI::IsMember({"pretrain", "segment", "classify"}))
                  ->excludes(plan));
    of_loader(command.add_option("--workers", loader.workers, "threads; 0: as many as affinity and cgroup allow")
                  ->check(non_negative()));
    of_loader(command.add_option("--seconds", loader.seconds, "how long, after a warm-up")->check(positive()));
    of_loader(command.add_option("--items", loader.items, "repeat the dataset to so many images; 0: as it is")
                  ->check(non_negative())
                  ->excludes(plan));
  }

  void add_statistics(CLI::App& command) {
    calculation =
        command.add_option("--eval", statistics.what, "time one calculation of `vmae eval` alone, on made-up cases")
            ->check(CLI::IsMember({"auroc", "findings", "delong", "hd95"}))
            ->excludes(dataset)
            ->excludes(plan);
    const auto of_statistics = [this](CLI::Option* option) {
      option->needs(calculation)->check(positive())->capture_default_str();
    };
    of_statistics(command.add_option("--cases", statistics.cases, "how many"));
    of_statistics(command.add_option("--findings", statistics.findings, "how many"));
    of_statistics(command.add_option("--resamples", statistics.resamples, "of the bootstrap"));
  }

  void measure(Context& context) {
    if (calculation->count() > 0) {
      statistics.threads = training.threads;
      return run::bench_eval(statistics, std::cout);
    }
    if (dataset->count() == 0) {
      if (!training.plan.empty() && training.model != "nnunet")
        throw Error(ExitCode::usage, concat("--plan = ", training.plan.string(), ": --model is ", training.model),
                    "a plan is of --model nnunet or of --loader");
      context.exit_code = ranks.run(
          context, [&](train::World& world) { return torch_part().bench(training, world, std::cout), ExitCode::ok; });
      return;
    }
    if (batch->count() > 0) loader.batch = training.batch;
    loader.image_size = training.image_size;
    loader.plan = training.plan;
    torch_part().bench_loader(loader, std::cout);
  }
};

}  // namespace

void add_bench(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand(
      "bench",
      "Time training steps of the full-size model on random images, the loader on a prepared dataset, or statistics");
  auto bench = std::make_shared<BenchCommand>();
  bench->add_training(*command);
  bench->add_loader(*command);
  bench->add_statistics(*command);
  command->callback([bench, &context] { bench->measure(context); });
}

}  // namespace vmae::app
