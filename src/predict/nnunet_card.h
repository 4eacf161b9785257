#pragma once
// What the file of an nnU-Net says besides its weights.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vmae/nnunet/labels.h"
#include "vmae/nnunet/plans.h"
#include "vmae/predict/model_file.h"
#include "vmae/weights/safetensors.h"

namespace vmae::run {

// Metadata "nnunet_plans" and "nnunet_dataset", the texts of nnU-Net's plan and dataset.json, and "nnunet_mirror_axes",
// a JSON list of 0 (rows) and 1 (columns), by default both.
struct NnUnetCard {
  std::shared_ptr<const nnunet::Plans> plans;
  nnunet::Labels labels;
  std::vector<int64_t> mirror_axes;
  std::vector<std::string> channel_names;  // of the files of a case; empty: they are the colours of one picture
};

// Throws Error(data) naming the key.
NnUnetCard nnunet_card_of(const weights::Metadata& metadata);

// Classes of label maps: those of the labels; of regions the numbers that they are painted with. Where the file has no
// card of ours, channels are called as the dataset does.
void complete_card(const NnUnetCard& own, bool is_ours, ModelCard& card);

}  // namespace vmae::run
