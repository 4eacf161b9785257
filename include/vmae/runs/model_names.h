#pragma once
// The models that vmae trains, by their names in configs and weights.
#include <string>
#include <vector>

namespace vmae::run {

std::vector<std::string> model_names();  // "mae", "simclr", all of nn::segmenter_kinds(), "swin-classifier"
bool is_of_pretraining(const std::string& model_name);
// "vmae finetune-seg model.name=unet": what trains one of them.
std::string training_command_of(const std::string& model_name);

}  // namespace vmae::run
