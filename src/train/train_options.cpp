#include "vmae/train/train_options.h"

namespace vmae::train {

void describe(Options& options, TrainOptions& train) {
  options.add("epochs", train.epochs, "passes over the training data, or as many epochs of train.steps_per_epoch",
              at_least(1));
  options.add("steps_per_epoch", train.steps_per_epoch,
              "optimizer steps in an epoch, whatever the number of images, which are the next ones of passes that go "
              "on from epoch to epoch. 0: an epoch is "
              "one pass",
              at_least(0));
  options.add("min_steps_per_epoch", train.min_steps_per_epoch,
              "an epoch has at least so many steps: where one pass has fewer, several are an epoch, so that "
              "validation, warm-up, early stopping and panels of "
              "small sets come after useful times; without meaning where train.steps_per_epoch is set",
              at_least(0));
  options.add("max_steps", train.max_steps,
              "stop after this many optimizer steps, and end the schedule there; 0: no limit", at_least(0));
  options.add("batch_size", train.batch_size,
              "samples per optimizer step, of all ranks together. 0: what nnU-Net's plan says (model.name = nnunet)",
              at_least(0));
  options.add("micro_batch", train.micro_batch,
              "samples per forward and backward pass of a rank; gradients are accumulated up to batch_size. 0: the "
              "whole batch at once",
              at_least(0));
  options.add("precision", train.precision, "auto: bf16 where the device is fast at it, else fp32 (fp16 on older GPUs)",
              one_of({"auto", "fp32", "bf16", "fp16"}));
  options.add("log_every", train.log_every, "steps between two lines of metrics", at_least(1));
  options.add("validate_every", train.validate_every, "epochs between two validations", at_least(1));
  options.add("draw_every", train.draw_every,
              "epochs between two panels of sample pictures, beside those of the beginning; 0: none at all",
              at_least(0));
  options.add("early_stop", train.early_stop,
              "end the run after this many epochs without a better validation; 0: never", at_least(0));
  options.add("keep_every", train.keep_every,
              "epochs between two weight files that are kept for good (checkpoints/epoch=E.safetensors); 0: none",
              at_least(0));
  options.add("save_every_steps", train.save_every_steps,
              "steps between two checkpoints within an epoch; 0: only as save_every_minutes says", at_least(0));
  options.add("save_every_minutes", train.save_every_minutes,
              "minutes between two checkpoints; one is always written at the end of the run and on a signal",
              above(0.0));
  options.add("gradient_compression", train.gradient_compression,
              "between ranks: none, or bf16, which halves the traffic and rounds gradients to 8 bits",
              one_of({"none", "bf16"}));
  options.add(
      "cuda_graph", train.cuda_graph,
      "GPU: record a whole step once and replay it, which helps where launching kernels is what takes the time");
}

void describe(Options& options, OptimOptions& optim) {
  options.add("name", optim.name,
              "adamw; sgd with momentum; or lars, which adapts the learning rate of each matrix, for large batches of "
              "contrastive pretraining",
              one_of({"adamw", "sgd", "lars"}));
  options.add("lr", optim.lr, "peak learning rate, for the whole batch of all ranks", in_range(0.0, 10.0));
  options.add("min_lr", optim.min_lr, "learning rate at the end of the schedule", in_range(0.0, 10.0));
  options.add(
      "schedule", optim.schedule,
      "what follows the warm-up: half a cosine; poly, (1 - share of the steps)^optim.poly_power, one update "
      "behind, as TransUNet's; or poly_epochs, the same of the steps before the epoch, in all of which it stays, "
      "as nnU-Net's",
      one_of({"cosine", "poly", "poly_epochs"}));
  options.add("poly_power", optim.poly_power, "exponent of optim.schedule = poly and poly_epochs",
              in_range(0.01, 10.0));
  options.add("warmup_epochs", optim.warmup_epochs,
              "epochs of linear warm-up from 0; the schedule moves with every step", at_least(0));
  options.add("weight_decay", optim.weight_decay,
              "weight decay: decoupled of adamw, added to the gradient of sgd and lars", in_range(0.0, 1.0));
  options.add("betas", optim.betas, "[beta1, beta2] of adamw", in_range(0.0, 0.99999));
  options.add("eps", optim.eps, "epsilon of adamw", above(0.0));
  options.add("momentum", optim.momentum, "momentum of sgd and lars", in_range(0.0, 0.99999));
  options.add("nesterov", optim.nesterov, "Nesterov's momentum, of sgd and lars");
  options.add("trust_coefficient", optim.trust_coefficient,
              "lars: the learning rate of a matrix is multiplied by this times its norm over that of its gradient",
              above(0.0));
  options.add(
      "decay_norm_and_bias", optim.decay_norm_and_bias,
      "weight decay on every parameter, norms and biases too, as the reference does; false: on matrices only, as lars "
      "always");
  options.add("clip_grad_norm", optim.clip_grad_norm, "largest L2 norm of the gradient; 0 does not clip",
              at_least(0.0));
  options.add("ema_decay", optim.ema_decay,
              "what is validated, drawn and saved is a moving average of the weights, of which each step keeps this "
              "share (step n at most (1 + n) / (10 + n)); "
              "0: the weights themselves",
              in_range(0.0, 0.999999));
}

}  // namespace vmae::train
