#include "vmae/tools/docs.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "commands.h"

namespace vmae::app {

void add_docs(CLI::App& app, Context&) {
  auto* command = app.add_subcommand("docs", "Print the generated pages of the documentation");
  auto page = std::make_shared<std::string>();
  command->add_option("page", *page, "configuration (docs/configuration.md) or default-config (configs/default.yaml)")
      ->required()
      ->check(CLI::IsMember({"configuration", "default-config"}));
  command->callback(
      [page] { std::cout << (*page == "configuration" ? run::configuration_page() : run::default_config()); });
}

}  // namespace vmae::app
