#include "vmae/tools/config_owner.h"

#include "vmae/core/config.h"
#include "vmae/core/error.h"
#include "vmae/prepare/prepare.h"
#include "vmae/runs/finetune_options.h"
#include "vmae/runs/plan_command.h"
#include "vmae/runs/pretrain_options.h"
#include "vmae/runs/split_command.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

template <class Config>
bool takes(const fs::path& config) {
  Config values;
  Options options;
  describe(options, values);
  try {
    read_config_file(config, options);
  } catch (const Error&) {  // another command's
    return false;
  }
  return true;
}

}  // namespace

std::string commands_of_key(const std::string& key) {
  std::vector<std::string> commands;
  const auto add = [&]<class Config>(const char* command, Config config) {
    Options options;
    describe(options, config);
    if (options.find(key) != nullptr) commands.emplace_back(command);
  };
  add("pretrain", PretrainConfig());
  add("finetune-seg", SegmentConfig());
  add("finetune-cls", ClassifyConfig());
  add("prepare", PrepareConfig());
  add("split", SplitConfig());
  add("plan", PlanConfig());
  if (commands.size() < 2) return join(commands, "");
  const std::string last = commands.back();
  commands.pop_back();
  return concat(join(commands, ", "), " and ", last);
}

std::string command_of_config(const fs::path& config) {
  if (takes<PretrainConfig>(config)) return "pretrain";
  if (takes<SegmentConfig>(config)) return "finetune-seg";
  if (takes<ClassifyConfig>(config)) return "finetune-cls";
  if (takes<PrepareConfig>(config)) return "prepare";
  if (takes<SplitConfig>(config)) return "split";
  return takes<PlanConfig>(config) ? "plan" : "";
}

}  // namespace vmae::run
