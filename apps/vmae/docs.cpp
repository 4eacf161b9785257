#include "vmae/tools/docs.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <memory>

#include "commands.h"
#include "shell_pages.h"

namespace vmae::app {

namespace {

using Page = std::string (*)(const CLI::App& app);

const std::map<std::string, Page>& pages() {
  static const std::map<std::string, Page> all{
      {"configuration", [](const CLI::App&) { return run::configuration_page(); }},
      {"configs", [](const CLI::App&) { return run::list_of_configs(); }},
      {"default-config", [](const CLI::App&) { return run::default_config(); }},
      {"man", man_page},
      {"bash", bash_completion},
      {"zsh", zsh_completion},
      {"fish", fish_completion},
  };
  return all;
}

}  // namespace

void add_docs(CLI::App& app, Context&) {
  auto* command =
      app.add_subcommand("docs", "Print pages of the documentation, the manual page, completions for shells");
  auto page = std::make_shared<std::string>();
  std::vector<std::string> names;
  for (const auto& [name, print] : pages()) names.push_back(name);
  command
      ->add_option("page", *page,
                   "configuration (docs/configuration.md), default-config (configs/default.yaml), configs (the names "
                   "of those that "
                   "vmae brings, for --config), man (the manual "
                   "page), or completions for bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember(names));
  command->footer("Example:\n  source <(vmae docs bash)");
  command->callback([page, &app] { std::cout << pages().at(*page)(app); });
}

}  // namespace vmae::app
