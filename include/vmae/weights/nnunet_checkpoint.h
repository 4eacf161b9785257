#pragma once
// nnU-Net v2's checkpoints (checkpoint_final.pth and its like, of nnUNetTrainer.save_checkpoint), both ways.
#include <filesystem>
#include <string>
#include <vector>

#include "vmae/weights/safetensors.h"

namespace vmae::weights {

// Of a file that was read (read_weights(), read_pth()): has the facts of read_nnunet_checkpoint().
bool is_nnunet_checkpoint(const TensorFile& file);

// The network, each tensor once by its first name (weights/nnunet.h) and without what wrappers put before it. Metadata:
// "model" is "nnunet"; "nnunet_plans" and "nnunet_dataset", the JSON texts of plans and dataset.json in the file's own
// order, which are those of ../plans.json and ../dataset.json where the checkpoint has none; "nnunet_configuration";
// "nnunet_fold" ("0" or "all"); "nnunet_trainer"; "nnunet_mirror_axes", a JSON list. read_weights() gives the same.
// Throws Error(checkpoint) where it is no checkpoint of nnU-Net, naming what is missing.
TensorFile read_nnunet_checkpoint(const std::filesystem::path& path);

// An epoch as nnU-Net logs it. What is not known stays as it is here.
struct NnUnetEpoch {
  std::vector<double>
      dice{};  // of each class or region but the background, over the epoch's validation; NaN: not there
  double train_loss = 0, val_loss = 0;
  double lr = 0;
  double begin_s = 0, end_s = 0;  // seconds since 1970
};

struct NnUnetCheckpointFacts {
  std::string plans, dataset;  // the JSON texts of plans.json and dataset.json
  std::string configuration = "2d";
  std::string fold = "0";  // or "all"
  std::string trainer = "nnUNetTrainer";
  std::vector<int64_t> mirror_axes{0, 1};  // empty: predictions are not mirrored
  std::vector<NnUnetEpoch> log{};          // of all epochs that were trained
};

// A file that nnU-Net predicts with (nnUNetPredictor) and goes on training with (nnUNetTrainer.load_checkpoint; its
// optimizer begins without momentum). state: the network's parameters, each once by its first name. Written atomically.
// nnU-Net wants plans.json and dataset.json beside the folder fold_N in which the file is.
void write_nnunet_checkpoint(const std::filesystem::path& path, const NamedTensors& state,
                             const NnUnetCheckpointFacts& facts);

}  // namespace vmae::weights
