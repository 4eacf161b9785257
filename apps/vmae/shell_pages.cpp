#include "shell_pages.h"

#include <algorithm>
#include <map>
#include <vector>

#include "commands.h"
#include "vmae/core/config.h"
#include "vmae/core/text.h"
#include "vmae/core/version.h"
#include "vmae/tools/config_owner.h"

namespace vmae::app {

namespace {

struct Flag {
  std::vector<std::string> names;  // "--config", "-h"
  std::string help, value;         // value: "FILE", "auto|cpu"; "": it takes none
  std::vector<std::string> choices;
};

struct Command {
  std::string name, help, footer;
  std::vector<Flag> flags;
  std::vector<Flag> positionals;  // without names
  std::vector<run::ConfigKey> keys;
};

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

// "TEXT:{auto,cpu}" -> auto, cpu; "auto|none|FILE" -> auto, none
std::vector<std::string> choices_of(const std::string& type) {
  std::vector<std::string> choices;
  const size_t open = type.find('{');
  const bool is_set = open != std::string::npos;
  if (!is_set && type.find('|') == std::string::npos) return choices;
  const std::string list = is_set ? type.substr(open + 1, type.find('}') - open - 1) : type;
  const char separator = is_set ? ',' : '|';
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(separator, begin), list.size());
    const std::string one = list.substr(begin, end - begin);
    const bool is_placeholder = std::all_of(one.begin(), one.end(), [](unsigned char c) { return std::isupper(c); });
    if (!is_placeholder) choices.push_back(one);
    begin = end + 1;
  }
  return choices;
}

Flag flag_of(const CLI::Option& option) {
  Flag flag;
  for (const std::string& name : option.get_snames()) flag.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) flag.names.push_back("--" + name);
  flag.help = option.get_description();
  const bool takes_value = option.get_items_expected_max() > 0;
  const std::string type = takes_value ? option.get_type_name() : "";
  flag.choices = choices_of(type);
  const bool is_set = type.find('{') != std::string::npos;
  const std::string name = is_set ? join(flag.choices, "|") : type.substr(0, type.find(':'));
  flag.value = takes_value && name.empty() ? "VALUE" : name;
  return flag;
}

// A command, or the program itself.
Command command_of(const CLI::App& app) {
  Command command;
  command.name = app.get_name();
  command.help = app.get_description();
  command.footer = app.get_footer();
  command.keys = run::keys_of_command(command.name);
  for (const CLI::Option* option : app.get_options()) {
    Flag flag = flag_of(*option);
    (flag.names.empty() ? command.positionals : command.flags).push_back(std::move(flag));
  }
  return command;
}

std::vector<Command> commands_of(const CLI::App& app) {
  std::vector<Command> commands;
  for (const CLI::App* one : app.get_subcommands(nullptr)) commands.push_back(command_of(*one));
  return commands;
}

// Of the arguments without a name; all places are taken for the same, as no command has choices for more than one.
std::vector<std::string> positional_choices(const Command& command) {
  std::vector<std::string> choices;
  for (const Flag& positional : command.positionals)
    choices.insert(choices.end(), positional.choices.begin(), positional.choices.end());
  return choices;
}

std::vector<std::string> words_of(const Command& command) {
  std::vector<std::string> words;
  for (const Flag& flag : command.flags)
    std::copy_if(flag.names.begin(), flag.names.end(), std::back_inserter(words),
                 [](const std::string& name) { return name.starts_with("--"); });
  return words;
}

std::string keys_with_equals(const Command& command) {
  std::vector<std::string> keys;
  for (const run::ConfigKey& key : command.keys) keys.push_back(key.name + "=");
  return join(keys, " ");
}

// The values of options and keys of all commands that are to choose from -> "predict:--tiles", as cases of a shell.
std::map<std::string, std::vector<std::string>> cases_of_values(const std::vector<Command>& commands) {
  std::map<std::string, std::vector<std::string>> cases;
  for (const Command& command : commands) {
    for (const Flag& flag : command.flags) {
      for (const std::string& name : flag.names) cases[join(flag.choices, " ")].push_back(command.name + ":" + name);
    }
    for (const run::ConfigKey& key : command.keys)
      cases[join(key.choices, " ")].push_back(command.name + ":" + key.name);
  }
  cases.erase("");
  return cases;
}

std::string names_of_configs() { return join(names_of_shipped_configs(), " "); }

// In single quotes of a shell.
std::string quoted(const std::string& text) { return "'" + replaced(text, "'", "'\\''") + "'"; }

}  // namespace

std::string bash_completion(const CLI::App& app) {
  std::vector<std::string> names;
  std::string cases, values;
  for (const Command& command : commands_of(app)) {
    names.push_back(command.name);
    cases += concat("    ", command.name, ") words=", quoted(join(words_of(command), " ")),
                    "; keys=", quoted(keys_with_equals(command)),
                    "; choices=", quoted(join(positional_choices(command), " ")), " ;;\n");
  }
  for (const auto& [choices, cases_of] : cases_of_values(commands_of(app)))
    values +=
        concat("    ", join(cases_of, "|"), ") COMPREPLY=($(compgen -W ", quoted(choices), " -- \"$word\")) ;;\n");
  return concat(
      "# bash completion of vmae: made by `vmae docs bash`\n"
      "_vmae() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} words= "
      "keys= choices=\n"
      "  COMPREPLY=()\n"
      "  if [ \"$word\" = = ]; then  # --option=VALUE is three words\n"
      "    word=\n"
      "  elif [ \"$before\" = = ]; then\n"
      "    before=${COMP_WORDS[COMP_CWORD-2]}\n"
      "  fi\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W ",
      quoted(join(names, " ") + " " + join(words_of(command_of(app)), " ")),
      " -- \"$word\"))\n"
      "    return\n"
      "  fi\n"
      "  case $command:$before in\n"
      "    *:--config) COMPREPLY=($(compgen -W ",
      quoted(names_of_configs()), " -- \"$word\") $(compgen -f -- \"$word\")); compopt -o filenames 2>/dev/null ;;\n",
      values,
      "  esac\n"
      "  [ ${#COMPREPLY[@]} -eq 0 ] || return\n"
      "  case $command in\n",
      cases,
      "  esac\n"
      "  if [[ $word == -* ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
      "  elif [ -n \"$choices\" ]; then\n"
      "    COMPREPLY=($(compgen -W \"$choices\" -- \"$word\"))\n"
      "  elif [ -n \"$word\" ]; then\n"
      "    COMPREPLY=($(compgen -W \"$keys\" -- \"$word\"))\n"
      "    [ ${#COMPREPLY[@]} -eq 0 ] || compopt -o nospace 2>/dev/null\n"
      "  fi\n"
      "}\n"
      "complete -o default -F _vmae vmae\n");
}

std::string zsh_completion(const CLI::App& app) {
  const auto described = [](const std::string& name, const std::string& help) {
    return quoted(replaced(name, ":", "\\:") + ":" + first_line(help));
  };
  std::string names, own, cases, values;
  for (const Flag& flag : command_of(app).flags) {
    for (const std::string& name : flag.names) own += concat("      ", described(name, flag.help), "\n");
  }
  for (const Command& command : commands_of(app)) {
    names += concat("      ", described(command.name, command.help), "\n");
    cases += concat("    ", command.name, ")\n      options=(\n");
    for (const Flag& flag : command.flags) {
      for (const std::string& name : flag.names) {
        cases += concat("        ", described(name, flag.help), "\n");
      }
    }
    cases += concat("      )\n      keys=(", keys_with_equals(command), ")\n      choices=(",
                    join(positional_choices(command), " "), ")\n      ;;\n");
  }
  for (const auto& [choices, cases_of] : cases_of_values(commands_of(app)))
    values += concat("    ", join(cases_of, "|"), ") compadd -- ", choices, "; return ;;\n");
  return concat(
      "#compdef vmae\n"
      "# zsh completion of vmae: made by `vmae docs zsh`\n"
      "_vmae() {\n"
      "  local -a commands options keys choices\n"
      "  local before=$words[CURRENT-1]\n"
      "  if (( CURRENT == 2 )); then\n"
      "    commands=(\n",
      names,
      "    )\n"
      "    options=(\n",
      own,
      "    )\n"
      "    if [[ $words[CURRENT] == -* ]]; then _describe option options; else _describe command commands; fi\n"
      "    return\n"
      "  fi\n"
      "  if [[ $words[CURRENT] == *=* ]]; then  # --option=VALUE, key=VALUE\n"
      "    before=${words[CURRENT]%%=*}\n"
      "    compset -P '*='\n"
      "  fi\n"
      "  case $words[2]:$before in\n"
      "    *:--config) compadd -- ",
      names_of_configs(), "; _files; return ;;\n", values,
      "  esac\n"
      "  if [[ $words[CURRENT] == *=* ]]; then _files; return; fi\n"
      "  case $words[2] in\n",
      cases,
      "  esac\n"
      "  if [[ $words[CURRENT] == -* ]]; then\n"
      "    _describe option options\n"
      "  else\n"
      "    (( $#keys )) && compadd -S '' -- $keys\n"
      "    if (( $#choices )); then compadd -- $choices; else _files; fi\n"
      "  fi\n"
      "}\n"
      "if [ \"$funcstack[1]\" = _vmae ]; then _vmae \"$@\"; else compdef _vmae vmae; fi\n");
}

std::string fish_completion(const CLI::App& app) {
  std::string text =
      "# fish completion of vmae: made by `vmae docs fish`\n"
      "function __vmae_runs\n"
      "  set -l words (commandline -opc)\n"
      "  test (count $words) -gt 1; and test $words[2] = $argv[1]\n"
      "end\n";
  const auto add_flags = [&text](const std::string& condition, const Command& command) {
    for (const Flag& flag : command.flags) {
      std::string names;
      for (const std::string& name : flag.names)
        names += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      std::string value = flag.value.empty() ? "" : " -r";
      if (!flag.choices.empty()) value = " -x -a " + quoted(join(flag.choices, " "));
      if (flag.names.back() == "--config") value += " -a " + quoted(names_of_configs());
      text += concat("complete -c vmae -n ", condition, names, value, " -d ", quoted(first_line(flag.help)), "\n");
    }
  };
  add_flags("__fish_use_subcommand", command_of(app));
  for (const Command& command : commands_of(app)) {
    text += concat("complete -c vmae -f -n __fish_use_subcommand -a ", command.name, " -d ",
                   quoted(first_line(command.help)), "\n");
    const std::string condition = quoted("__vmae_runs " + command.name);
    const std::string here = "complete -c vmae -n " + condition;
    add_flags(condition, command);
    if (!command.keys.empty()) text += concat(here, " -a ", quoted(keys_with_equals(command)), "\n");
    if (const auto choices = positional_choices(command); !choices.empty())
      text += concat(here, " -f -a ", quoted(join(choices, " ")), "\n");
  }
  return text;
}

std::string man_page(const CLI::App& app) {
  // A backslash, and what roff takes for a request at the start of a line.
  const auto roff = [](const std::string& text) {
    std::string safe = replaced(replaced(text, "\\", "\\e"), "-", "\\-");
    safe = replaced(safe, "\n.", "\n\\&.");
    return safe.starts_with('.') || safe.starts_with('\'') ? "\\&" + safe : replaced(safe, "\n'", "\n\\&'");
  };
  std::string text =
      concat(".TH VMAE 1 \"\" \"vmae ", version(), "\" \"User Commands\"\n.SH NAME\nvmae \\- ", roff(kPurpose),
             "\n.SH SYNOPSIS\n.B vmae\n.I COMMAND\n[OPTIONS] [ARGUMENTS]\n.SH COMMANDS\n");
  const std::vector<Command> commands = commands_of(app);
  for (const Command& command : commands)
    text += concat(".TP\n.B ", roff(command.name), "\n", roff(command.help), "\n");
  text += ".SH OPTIONS\n";
  const auto add_flags = [&](const Command& command) {
    for (const Flag& flag : command.flags)
      text += concat(".TP\n.B ", roff(join(flag.names, ", ")), flag.value.empty() ? "" : " " + roff(flag.value), "\n",
                     roff(flag.help), "\n");
  };
  add_flags(command_of(app));
  for (const Command& command : commands) {
    text += concat(".SS vmae ", roff(command.name), "\n", roff(command.help), "\n");
    for (const Flag& positional : command.positionals)
      text += concat(".TP\n.I ", roff(positional.value), "\n", roff(positional.help), "\n");
    add_flags(command);
    if (!command.keys.empty())
      text += concat(".PP\nKeys, as key=value or in the file of \\-\\-config, with their defaults and meaning: vmae ",
                     roff(command.name), " \\-\\-print\\-config\n");
    if (!command.footer.empty()) text += concat(".PP\n.nf\n", roff(command.footer), "\n.fi\n");
  }
  text += ".SH ENVIRONMENT\n";
  for (const auto& [name, meaning] : kEnvironment) text += concat(".TP\n.B ", name, "\n", roff(meaning), "\n");
  return text + concat(".SH EXIT STATUS\n", roff(kExitCodes), "\n");
}

}  // namespace vmae::app
