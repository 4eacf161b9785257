#pragma once
// Strict reading of config files and overrides into Options, and writing them back. Every problem is Error(usage).
#include <filesystem>
#include <string>
#include <vector>

#include "vmae/core/error.h"
#include "vmae/core/options.h"

namespace vmae {

// A key, or of a file a section, that the command does not have, and another may.
struct UnknownKey : Error {
  using Error::Error;
};

// Reads a YAML file: nested maps ("optim: {lr: 1e-4}") or dotted keys ("optim.lr: 1e-4"). Unknown
// key, key given twice, wrong type, out of range, YAML syntax, anchors with merge keys: an error
// with file:line and, for a key, "did you mean". The key `base` (a path relative to the file;
// files only) is read first, so that a small file overrides a larger one; cycles are an error.
// Either may be the name of a config that vmae brings, where there is no such file: that is logged.
void read_config_file(const std::filesystem::path& path, Options& options);
void read_config_text(const std::string& yaml, const std::string& name_in_messages, Options& options);

// The folder of the configs that vmae brings: share/vmae/configs of the prefix that the program is in.
std::filesystem::path shipped_configs();
// "pretrain/mr", ..., in order; `--config` and `base` also take "configs/pretrain/mr.yaml".
std::vector<std::string> names_of_shipped_configs();

// "key.sub=value"; the value is YAML where it starts with a bracket or a quote ("[96, 160]"), else
// the text as it stands, so that a path may hold " #" or ": ". Empty, "null" and "~" are null.
void apply_override(const std::string& assignment, Options& options);

// --print-config, run/config.yaml, configs/default.yaml
std::string config_yaml(const Options& options, bool with_comments);
// A part of docs/configuration.md; level: of the title.
std::string config_markdown(const Options& options, const std::string& title, size_t level = 1);

}  // namespace vmae
