#pragma once
// What fine-tuning of both kinds has in common.
#include <string>

#include "vmae/predict/model_file.h"
#include "vmae/runs/finetune_options.h"
#include "vmae/tasks/training.h"

namespace vmae::run {

// Initial weights from seed, pretrained ones over them as model.transfer says, frozen parts, device.
// is_colour: what `auto` looks at. image: how images are prepared now, and datasets.volume_rules.
void prepare_module(torch::nn::Module& module, const nn::SwinOptions& swin, const TransferOptions& options,
                    bool is_segmenter, bool is_colour, const Session& session, const data::ImageOptions& image,
                    const std::vector<std::string>& volume_rules);

// Likewise of a TransUNet: model.init is one, or the encoder that Google published for Flax (.npz).
void prepare_transunet(torch::nn::Module& module, const nn::UnetOptions& net, const TransferOptions& options,
                       const Session& session, const data::ImageOptions& image,
                       const std::vector<std::string>& volume_rules);

// How images become what the network was trained on, for prediction from files: a
// prepared dataset has its own slice axis and may have its intensities scaled already.
data::ImageOptions as_trained(data::ImageOptions image, const Datasets& datasets);

// What a model's file says of the images that it learnt from; what the classes are, and what its input looked like, is
// for the task to add.
ModelCard model_card(const DataOptions& data, const Datasets& datasets);

// Factor of the learning rate of a parameter: layer_decay to the power of how many encoder blocks
// lie behind it, and one for what follows the encoder; of what only the task has, task_lr_scale.
std::function<double(const std::string&)> lr_scale(const nn::SwinOptions& swin, const FinetuneOptimOptions& optim);

// Three channels in the first image that can be read. Warns where colour becomes luminance.
bool is_colour(const Datasets& datasets);

// [height, width] for images of this dataset: their median, rounded up
// to multiples of 32, at least 64, and made smaller to 320 at most.
std::vector<int64_t> image_size_for(const data::Dataset& dataset);

// Weights for the loss as a tensor on the device; undefined if there
// are none. One value stands for all. Throws Error(usage) naming `key`.
at::Tensor weights_tensor(const std::vector<double>& weights, int64_t count, const std::string& key, at::Device device);

// Says whether validation or test images were trained on by the
// run that the weights come from, in the log and on the card.
void tell_seen_before(const Session& session, const std::string& init, const DataOptions& data,
                      const Datasets& datasets, DataCard& card);

}  // namespace vmae::run
