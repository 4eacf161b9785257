#pragma once
// nnU-Net's way with a dataset (model.name = nnunet): its plan, its cases preprocessed by that, and patches of them.
#include <memory>
#include <string>

#include "segment_tasks.h"
#include "vmae/nn/nnunet.h"
#include "vmae/nnunet/labels.h"
#include "vmae/nnunet/plans.h"
#include "vmae/tasks/session.h"

namespace vmae::run {

constexpr const char *kPlansName = "plans.json", *kDatasetName = "dataset.json";  // in a run's folder, as nnU-Net's

struct NnUnetPlan {
  nnunet::Plans plans;
  nnunet::Labels labels;
  std::string plans_json, dataset_json;  // the same as nnU-Net's files
};

// What can be told before the data are looked at: that nnunet.plan is a plan, and that model.init holds an nnU-Net
// which fits it. Throws Error(data), Error(checkpoint).
void check_nnunet(const SegmentConfig& config, const Session& session);

// nnunet.plan, or that of model.init, or what `vmae plan` makes of data.train; of a run that is resumed, its own. The
// same on every rank. Throws Error(usage), Error(data).
NnUnetPlan nnunet_plan(const SegmentConfig& config, const Session& session, const Datasets& datasets,
                       const Classes& classes);

// What the plan decides of a config: the network, its input and, where train.batch_size is 0, the batch size.
void apply_plan(const NnUnetPlan& plan, SegmentConfig& config);

// In the place of datasets.train and .val patches of their cases, as nnU-Net draws them: those of training augmented,
// both by their places in an epoch (LoaderOptions::is_drawn). Cases are preprocessed by all ranks together into files
// in nnunet.preprocessed, where those that were made of the same plan and images stay as they are. A case that can't be
// read is quarantined on every rank.
void draw_patches(const SegmentConfig& config, const Session& session, const NnUnetPlan& plan, const Classes& classes,
                  Datasets& datasets);

// The network of config.model, from model.init or at random, on the device.
nn::NnUnet begin_nnunet(const SegmentConfig& config, const Session& session);

// nnunet_task.cpp. Keeps a reference to `plan`.
std::unique_ptr<train::Task> nnunet_task(nn::NnUnet net, const NnUnetPlan& plan, const SegmentParts& parts);

}  // namespace vmae::run
