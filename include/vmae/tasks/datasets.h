#pragma once
// From the sources of a config to the datasets that train and validate.
#include <memory>
#include <string>
#include <vector>

#include "vmae/data/dataset.h"
#include "vmae/data/loader.h"
#include "vmae/pictures/data_card.h"
#include "vmae/runs/split.h"
#include "vmae/runs/training_options.h"
#include "vmae/tasks/session.h"
#include "vmae/train/plan.h"

namespace vmae::run {

struct Datasets {
  SourceSplits splits;  // of which `split` has the files
  TrainVal split;
  std::shared_ptr<data::Dataset> train, val;  // val may be null
  std::vector<std::string> volume_rules;      // of the files that train (data/modality.h)
  int64_t in_channels = 0;                    // of the network's input
  // where cases have several channels, which are stacked; "" where one has no name. Else empty
  std::vector<std::string> channel_names;
  std::vector<std::string> channel_modalities;  // of each of them; "" where it is not known or differs
  // of the volumes that train; auto: there are none, or its sources have several
  std::string slice_axis = "auto";
  std::vector<std::string> slice_axes_text;  // how data.slice_axis = auto was decided, for each source
};

// Of training, validation and test; what masks mean is for the command to add, with the censuses of `parts`.
DataCard card_of(const Datasets& datasets);

Datasets load_datasets(const DataOptions& data, const Session& session, const data::Targets& targets);

// How many images train and validate, how slices of volumes lie, and by which rule the intensities of how many files
// are read: to the log.
void tell_images(const Datasets& datasets, const data::ImageOptions& image);

// Of training, its order given by the session's seed.
data::LoaderOptions training_loader(const DataOptions& data, const train::Plan& plan, uint64_t seed);

}  // namespace vmae::run
