#pragma once
// The options that turn names of a prepared dataset back into those of the files that it was made of.
#include <CLI/CLI.hpp>

#include "vmae/runs/names.h"

namespace vmae::app {

inline void add_names(CLI::App& command, run::NameArguments& names) {
  command
      .add_option(
          "--names-table", names.table,
          "of a prepared dataset: what `vmae prepare --names-table` wrote, to name the files that cases were made of")
      ->type_name("FILE");
  command.add_option("--source", names.source, "instead of --names-table: what the dataset was prepared from")
      ->type_name("PATH");
  command.add_option("--salt-file", names.salt_file, "with --source: prepare.salt_file, if that was given")
      ->type_name("FILE");
}

}  // namespace vmae::app
