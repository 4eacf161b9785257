#pragma once
// Keys of the network, the optimizer and the loss that a config sets and that mean nothing to what it names elsewhere,
// as model.mask_ratio to simclr.
#include "vmae/runs/finetune_options.h"
#include "vmae/runs/pretrain_options.h"

namespace vmae::run {

// Gives such keys the values that they have in `standard`.
void reset_unused(SegmentConfig& config, const SegmentConfig& standard);

// Names them with their values in one warning; where there are none it says nothing.
void warn_of_unused_keys(const PretrainConfig& config);
void warn_of_unused_keys(const SegmentConfig& config);
void warn_of_unused_keys(const ClassifyConfig& config);

// nnU-Net's plan decides what other keys decide elsewhere, and the keys of `nnunet` are for it alone: what can't be
// followed ends the run. Throws Error(usage) naming the first such key.
void refuse_keys_of_others(const SegmentConfig& config);

}  // namespace vmae::run
