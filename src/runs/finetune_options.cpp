// Keys and defaults of fine-tuning.
#include "vmae/runs/finetune_options.h"

#include "vmae/runs/unused_keys.h"

namespace vmae::run {

namespace {

void describe_recipe(Options& options, std::string& recipe) {
  options.add("recipe", recipe,
              "the defaults of all other keys. auto: made for small sets (docs/recipes.md). paper: what the paper's "
              "reference code does",
              one_of({"auto", "paper"}));
}

// What the recipe changes of the paper's values, where the config leaves it to the recipe.
template <class Config>
std::string recipe_text(Config config) {
  if (config.recipe == "paper")
    return "recipe paper: the values of the paper's reference code, where the config says nothing else";
  Config paper("paper"), own(config.recipe);
  Options is, was, chosen;
  describe(is, config);
  describe(was, paper);
  describe(chosen, own);
  std::vector<std::string> texts;
  for (const Option& option : chosen.all()) {
    const std::string value = option.get();
    if (option.key != "recipe" && value != was.find(option.key)->get() && value == is.find(option.key)->get())
      texts.push_back(concat(option.key, "=", value));
  }
  return concat("recipe ", config.recipe, " instead of the paper's values: ", join(texts, " "));
}

// What the help of these keys says more of one task's networks.
struct TransferTexts {
  std::string init, transfer;
};

void describe_transfer(Options& options, TransferOptions& transfer, std::vector<std::string> transfers,
                       std::vector<std::string> freezes, const TransferTexts& more = {}) {
  options.add("init", transfer.init,
              concat("pretrained weights: the folder of a run, or a file (.safetensors, .pth) of ours, of the Python "
                     "reference, or of an ImageNet Swin (Microsoft's, timm's or torchvision's names). What a Swin "
                     "network needs and the config does not say is taken from them. ",
                     more.init, "Empty: random"));
  options.add("transfer", transfer.transfer,
              concat("which pretrained parts are used. auto: encoder and decoder for grey images, the encoder alone "
                     "for colour images and for classification",
                     more.transfer),
              one_of(std::move(transfers)));
  options.add("allow_mismatch", transfer.allow_mismatch,
              "go on when weights are missing, left over or of another shape where they should not be; else that is "
              "exit code 4");
  options.add("freeze", transfer.freeze,
              "what is not trained, of what came from model.init. encoder: patch embedding and encoder stages. "
              "linear_probe: all but the last layer",
              one_of(std::move(freezes)));
}

}  // namespace

void describe(Options& options, FinetuneOptimOptions& optim) {
  describe(options, static_cast<train::OptimOptions&>(optim));
  options.add("layer_decay", optim.layer_decay,
              "the learning rate of each block of the encoder is that of the block behind it times this; 1: the same "
              "for all (Bao et al. 2022: 0.65 to 0.9)",
              in_range(0.1, 1.0));
  options.add("task_lr_scale", optim.task_lr_scale,
              "factor of the learning rate for what no pretraining has and so begins at random (joins of skips, the "
              "way back to pixels, norm and head): it can "
              "learn faster than encoder and decoder",
              above(0.0));
}

void describe(Options& options, SegmentDataOptions& data) {
  describe(options, static_cast<DataOptions&>(data));
  options.add("classes", data.classes,
              "names of the classes 1, 2, ...; empty: the dataset's own, else as many as the masks hold, named by "
              "their number");
  options.add("label_values", data.label_values,
              "mask values of the classes 1, 2, ..., as in [128, 255]; predictions are written with them. Empty: value "
              "1 is class 1, value 2 is class 2; where all "
              "masks hold 0 and 255 alone, 255 is class 1",
              in_range(1, 255));
  options.add("ignore_label", data.ignore_label,
              "mask value of pixels that count nowhere, in the loss and in Dice; -1: the one that the dataset names "
              "(nnU-Net's \"ignore\"), else none",
              in_range(-1, 255));
  options.add("foreground_share", data.foreground_share,
              "at least this share of each (micro-)batch has foreground: where there is less, empty slices give way to "
              "others (they are left out of that epoch)",
              in_range(0.0, 1.0));
}

void describe(Options& options, SegmentModelOptions& model) {
  std::vector<std::string> names, texts;
  for (const nn::SegmenterKind& kind : nn::segmenter_kinds()) {
    names.push_back(kind.name);
    texts.push_back(concat(kind.name, ": ", kind.text));
  }
  options.add("name", model.name, concat("the model to train. ", join(texts, ". ")), one_of(std::move(names)));
  describe_transfer(options, model, {"auto", "encoder", "encoder_decoder"}, {"none", "encoder"},
                    {.init = "transunet: a run of its own, whose keys are taken, or its authors' file, or its encoder "
                             "as R50+ViT-B_16.npz has it, beside which keys that are not the defaults must be given. ",
                     .transfer = "; transunet: all that the weights have"});
  describe(options, model.net);
}

void describe(Options& options, NnUnetRunOptions& nnunet) {
  options.add(
      "plan", nnunet.plan,
      "nnunet: a plan that is there (nnUNetPlans.json, of nnU-Net or `vmae plan`); empty: that of "
      "model.init, else made of the cases in data.train that train or validate, with data.splits in any of its folds");
  options.add(
      "preprocessed", nnunet.preprocessed,
      "nnunet: folder for the cases that the plan has cropped, normalised and resampled, 4 bytes for each voxel "
      "and channel; runs of one plan may share it. Empty: preprocessed in run.dir (of all folds together)");
}

SegmentConfig::SegmentConfig(const std::string& recipe_name) : recipe(recipe_name) {
  data.augment = data::segmentation_augmentation();
  optim.lr = 1e-3;
  optim.warmup_epochs = 40;
  if (recipe == "paper") return;
  data.augment.rot90 = 0;
  data.augment.minmax = false;
  data.foreground_share = 0.33;
  model.net.swin.image_size = {};
  model.net.swin.conv_stem = true;
  model.net.identity_joins = true;
  model.transfer = "encoder_decoder";
  train.epochs = 20;
  train.min_steps_per_epoch = 200;
  train.batch_size = 16;
  optim.lr = 3e-4;
  optim.task_lr_scale = 10;
  optim.warmup_epochs = 1;
  optim.clip_grad_norm = 1;
}

// As its authors train it, whatever the recipe: nnUNetTrainer of version 2.8.1.
static void set_training_of_nnunet(SegmentConfig& config) {
  config.train.epochs = 1000;
  config.train.steps_per_epoch = 250;
  config.train.min_steps_per_epoch = 0;
  config.train.batch_size = 0;  // the plan's
  config.data.foreground_share = 0;
  config.data.augment.flip_horizontal = 0.5;
  config.data.augment.flip_vertical = 0.5;
  config.optim = {};
  config.optim.name = "sgd";
  config.optim.momentum = 0.99;
  config.optim.nesterov = true;
  config.optim.lr = 0.01;
  config.optim.weight_decay = 3e-5;
  config.optim.schedule = "poly_epochs";
  config.optim.warmup_epochs = 0;
  config.optim.clip_grad_norm = 12;
}

SegmentConfig defaults_for(const SegmentConfig& said) {
  SegmentConfig defaults(said.recipe);
  if (said.train.epochs > 0) defaults.train.min_steps_per_epoch = 0;
  if (said.train.epochs == 1) defaults.optim.warmup_epochs = 0;        // it would be the whole run
  if (!said.data.weights.empty()) defaults.data.foreground_share = 0;  // both say how batches are made up
  const nn::SegmenterKind* kind = nn::find_segmenter(said.model.name);
  if (said.model.name == "nnunet") set_training_of_nnunet(defaults);
  if (said.recipe == "auto" && kind != nullptr && !kind->is_swin) {  // task_lr_scale is for what a Swin-UNet adds
    if (said.model.name == "unet") defaults.optim.lr = 1e-3;         // convolutions alone bear more
    defaults.optim.task_lr_scale = 1;
  }
  return defaults;
}

void describe(Options& options, SegmentConfig& config) {
  describe_recipe(options, config.recipe);
  options.section("run", "Where and how", config.run);
  options.section("data", "Images and masks in", config.data);
  options.section("model", "The network", config.model);
  options.section("train", "The training loop", config.train);
  options.section("optim", "the optimizer and its schedule: linear warm-up from 0, then optim.schedule, per step",
                  config.optim);
  options.section("loss", "What is minimised", config.loss);
  options.section("nnunet", "nnU-Net's plan and preprocessing, of model.name = nnunet", config.nnunet);
}

std::string text_of_recipe(const SegmentConfig& config) {
  if (config.model.name == "nnunet") return "nnU-Net is trained as its authors do, whatever the recipe";
  SegmentConfig used = config;
  reset_unused(used, SegmentConfig("paper"));
  return recipe_text(used);
}
std::string text_of_recipe(const ClassifyConfig& config) { return recipe_text(config); }

void describe(Options& options, ClassifyDataOptions& data) {
  describe(options, static_cast<DataOptions&>(data));
  options.add("findings", data.findings,
              "columns of the manifest (or findings of a prepared dataset) that are the labels, each 0, 1, or -1 or "
              "empty where not known, as in [Effusion, "
              "Edema]; or the one column of words that are the classes, as in [dx]. Empty: the column label or class, "
              "else all columns whose cells are such numbers; "
              "the log names them");
  options.add("pool", data.pool, "how the scores of a case's slices become the case's, in validation and prediction",
              one_of({"mean", "max"}));
}

void describe(Options& options, ClassifyModelOptions& model) {
  options.add("name", model.name, "the model to train", one_of({"swin-classifier"}));
  describe_transfer(options, model, {"auto", "encoder"}, {"none", "encoder", "linear_probe"});
  describe(options, model.net);
}

void describe(Options& options, ClassifyTrainOptions& train) {
  describe(options, static_cast<train::TrainOptions&>(train));
  options.add("best_metric", train.best_metric,
              "which validation metric decides which epoch's weights are kept as the best (the reference: loss)",
              one_of({"AUROC", "loss", "accuracy"}));
}

ClassifyConfig::ClassifyConfig(const std::string& recipe_name) : recipe(recipe_name) {
  data.augment = data::classification_augmentation();
  train.epochs = 50;
  train.batch_size = 48;
  optim.lr = 1e-3;
  if (recipe == "paper") return;
  train.epochs = 20;
  train.min_steps_per_epoch = 50;
  train.batch_size = 16;
  optim.lr = 3e-4;
  optim.warmup_epochs = 1;
  optim.clip_grad_norm = 1;
}

ClassifyConfig defaults_for(const ClassifyConfig& said) {
  ClassifyConfig defaults(said.recipe);
  if (said.train.epochs > 0) defaults.train.min_steps_per_epoch = 0;
  if (said.train.epochs == 1) defaults.optim.warmup_epochs = 0;  // it would be the whole run
  return defaults;
}

void describe(Options& options, ClassifyConfig& config) {
  describe_recipe(options, config.recipe);
  options.section("run", "Where and how", config.run);
  options.section("data", "Images and labels in", config.data);
  options.section("model", "The network", config.model);
  options.section("train", "The training loop", config.train);
  options.section("optim", "the optimizer and its schedule: linear warm-up from 0, then optim.schedule, per step",
                  config.optim);
  options.section("loss", "What is minimised", config.loss);
}

}  // namespace vmae::run
