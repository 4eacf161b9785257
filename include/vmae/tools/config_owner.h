#pragma once
// Which command has which keys: whose config a file is, and whose key a key, where a command is given another's.
#include <filesystem>
#include <string>
#include <vector>

namespace vmae::run {

// The first command that takes all keys of a config file: "pretrain",
// "finetune-seg", "finetune-cls", "prepare", "split" or "plan"; "" where none does.
std::string command_of_config(const std::filesystem::path& config);

// "plan", "finetune-seg and finetune-cls": the commands that have a key; "" where none does.
std::string commands_of_key(const std::string& key);

struct ConfigKey {
  std::string name;                  // "optim.lr"
  std::vector<std::string> choices;  // of its value; empty: it is not one of a few
};
// Empty: the command has no config.
std::vector<ConfigKey> keys_of_command(const std::string& command);

}  // namespace vmae::run
