#include "vmae/tools/config_owner.h"

#include <functional>

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

bool takes(const fs::path& config, Options& options) {
  try {
    read_config_file(config, options);
  } catch (const Error&) {  // another command's
    return false;
  }
  return true;
}

// What each command with a config takes.
void for_each_config(const std::function<void(const std::string& command, Options& options)>& look) {
  const auto show = [&]<class Config>(const char* command, Config config) {
    Options options;
    describe(options, config);
    look(command, options);
  };
  show("pretrain", PretrainConfig());
  show("finetune-seg", SegmentConfig());
  show("finetune-cls", ClassifyConfig());
  show("prepare", PrepareConfig());
  show("split", SplitConfig());
  show("plan", PlanConfig());
}

}  // namespace

std::vector<ConfigKey> keys_of_command(const std::string& command) {
  std::vector<ConfigKey> keys;
  for_each_config([&](const std::string& name, const Options& options) {
    if (name != command) return;
    for (const Option& option : options.all())
      keys.push_back(
          {option.key, option.type == "true/false" ? std::vector<std::string>{"true", "false"} : option.choices});
  });
  return keys;
}

std::string commands_of_key(const std::string& key) {
  std::vector<std::string> commands;
  for_each_config([&](const std::string& name, const Options& options) {
    if (options.find(key) != nullptr) commands.push_back(name);
  });
  if (commands.size() < 2) return join(commands, "");
  const std::string last = commands.back();
  commands.pop_back();
  return concat(join(commands, ", "), " and ", last);
}

std::string command_of_config(const fs::path& config) {
  std::string owner;
  for_each_config([&](const std::string& command, Options& options) {
    if (owner.empty() && takes(config, options)) owner = command;
  });
  return owner;
}

}  // namespace vmae::run
