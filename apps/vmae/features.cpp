#include <CLI/CLI.hpp>
#include <memory>

#include "commands.h"
#include "number_checks.h"
#include "torch_part.h"

namespace vmae::app {

void add_features(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand(
      "features", "What the encoder makes of images: a vector of each image or case, as CSV or safetensors");
  auto arguments = std::make_shared<run::FeaturesArguments>();
  command->add_option("--weights", arguments->weights, "a run or weights file: pretrained, Swin-UNet or classifier")
      ->required()
      ->type_name("PATH");
  command
      ->add_option("--input", arguments->input,
                   "what `vmae prepare` reads: a folder, DICOM, a volume, a picture, a manifest, a prepared dataset")
      ->required()
      ->type_name("PATH");
  command
      ->add_option("--output", arguments->output, "file to write; its ending, .csv or .safetensors, decides the format")
      ->required()
      ->type_name("FILE");
  command->add_option("--per", arguments->per, "image: a vector of each slice; case: the mean over its slices")
      ->check(CLI::IsMember({"image", "case"}))
      ->capture_default_str();
  command->add_flag("--overwrite", arguments->overwrite, "replace the file");
  command->add_option("--layout", arguments->layout, "of the input")
      ->check(CLI::IsMember({"auto", "prepared", "manifest", "nnunet", "decathlon", "image_mask_folders", "dicom",
                             "class_folders", "files"}))
      ->capture_default_str();
  command->add_option("--batch", arguments->batch, "slices at once")->check(positive())->capture_default_str();
  command->add_option("--device", arguments->device, "where to compute")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  command->add_option("--precision", arguments->precision, "of the matrix products")
      ->check(CLI::IsMember({"auto", "fp32", "bf16", "fp16"}))
      ->capture_default_str();
  command->add_option("--threads", arguments->threads, "0: as many as affinity and cgroup allow")
      ->check(non_negative())
      ->capture_default_str();
  command->footer(
      "Examples:\n  vmae features --weights runs/mr --input scans --output features.csv\n"
      "  vmae features --weights runs/mr --input scans --output features.safetensors --per image\n"
      "The mean over the last stage's tokens after their norm: what a classifier's head is given. docs/predict.md");
  command->callback([arguments, &context] { context.exit_code = torch_part().features(*arguments); });
}

}  // namespace vmae::app
