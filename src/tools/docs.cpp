// The generated pages: one list of commands with options, each with a section of its own.
#include "vmae/tools/docs.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/config.h"
#include "vmae/core/error.h"
#include "vmae/prepare/prepare.h"
#include "vmae/runs/finetune_options.h"
#include "vmae/runs/plan_command.h"
#include "vmae/runs/pretrain_options.h"
#include "vmae/runs/split_command.h"

namespace vmae::run {

namespace {

template <class Config>
std::string section_of(const std::string& command) {
  Config config;
  Options options;
  describe(options, config);
  return "\n" + config_markdown(options, "`vmae " + command + "`", /*level=*/2);
}

}  // namespace

std::string configuration_page() {
  return "# Configuration\n\nThe options of each command that takes `--config FILE` and `key=value`; `--print-config` "
         "prints them with the values in force.\n" +
         section_of<PretrainConfig>("pretrain") + section_of<SegmentConfig>("finetune-seg") +
         section_of<ClassifyConfig>("finetune-cls") + section_of<PrepareConfig>("prepare") +
         section_of<SplitConfig>("split") + section_of<PlanConfig>("plan");
}

std::string default_config() {
  PretrainConfig config;
  Options options;
  describe(options, config);
  return config_yaml(options, /*with_comments=*/true);
}

std::string list_of_configs() {
  std::string text;
  for (const std::string& name : names_of_shipped_configs()) {
    std::string line = read_file(shipped_configs() / (name + ".yaml"));
    line = line.substr(0, line.find('\n'));
    text += concat(name, std::string(name.size() < 34 ? 34 - name.size() : 1, ' '),
                   line.starts_with("# ") ? line.substr(2) : "", "\n");
  }
  if (text.empty())
    throw Error(ExitCode::internal, shipped_configs().string() + " is not there",
                "copy vmae's folder share along with bin and lib");
  return text;
}

}  // namespace vmae::run
