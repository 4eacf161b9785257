#include "vmae/runs/model_names.h"

#include "vmae/core/text.h"
#include "vmae/nn/model_options.h"

namespace vmae::run {

std::vector<std::string> model_names() {
  std::vector<std::string> names{"mae", "simclr"};
  for (const nn::SegmenterKind& kind : nn::segmenter_kinds()) names.push_back(kind.name);
  names.emplace_back("swin-classifier");
  return names;
}

bool is_of_pretraining(const std::string& model_name) { return model_name == "mae" || model_name == "simclr"; }

std::string training_command_of(const std::string& model_name) {
  if (model_name == "swin-classifier") return "vmae finetune-cls";
  return concat("vmae ", is_of_pretraining(model_name) ? "pretrain" : "finetune-seg", " model.name=", model_name);
}

}  // namespace vmae::run
