#pragma once
// What every command with a config has in common: --config FILE, key=value, --print-config.
#include <CLI/App.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "vmae/core/config.h"
#include "vmae/core/error.h"
#include "vmae/tools/config_owner.h"

namespace vmae::app {

struct ConfigArguments {
  std::string file;
  std::vector<std::string> overrides;
  bool print = false;

  void add_to(CLI::App& command, const std::string& example = "optim.lr=3e-4 model.image_size=[96,160]") {
    command
        .add_option("--config", file,
                    "YAML file, or the name of one that vmae brings (vmae docs configs); without it, the defaults")
        ->type_name("FILE");
    command
        .add_option("overrides", overrides, "options as key=value, for example " + example + "; they win over the file")
        ->type_name("key=value");
    command.add_flag("--print-config", print,
                     "print the resolved config with every key and its documentation, and exit");
  }

  // True if the caller should go on; false after --print-config. What `config` holds beforehand are the defaults.
  template <class Config>
  bool load(Config& config) const {
    Options options;
    describe(options, config);
    set(options);
    if (print) std::cout << config_yaml(options, /*with_comments=*/true);
    return !print;
  }

  // load() without printing.
  template <class Config>
  void read(Config& config) const {
    Options options;
    describe(options, config);
    set(options);
  }

 private:
  void set(Options& options) const {
    if (!file.empty()) read_file(options);
    for (const auto& assignment : overrides) apply(assignment, options);
  }

  // A key that this command does not know may be another command's:
  // then that is the advice, and no key that is spelt alike.
  static void apply(const std::string& assignment, Options& options) {
    try {
      apply_override(assignment, options);
    } catch (const UnknownKey& error) {
      const std::string others = run::commands_of_key(std::string(trim(assignment.substr(0, assignment.find('=')))));
      if (others.empty()) throw;
      throw Error(error.code(), error.what(), "it is a key of vmae " + others);
    }
  }

  // Likewise of a whole file.
  void read_file(Options& options) const {
    try {
      read_config_file(file, options);
    } catch (const UnknownKey& error) {
      const std::string other = run::command_of_config(file);
      if (other.empty()) throw;
      throw Error(error.code(), error.what(), "it is a config of vmae " + other);
    }
  }
};

}  // namespace vmae::app
