// A file becomes a tree (yaml_text.h); walking it, the path of keys so far
// plus the key is looked up in the option list, which checks the value.
#include "vmae/core/config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <map>
#include <set>
#include <stdexcept>
#include <system_error>

#include "vmae/core/error.h"
#include "vmae/core/launch.h"
#include "vmae/core/log.h"
#include "vmae/core/path_problem.h"
#include "yaml_text.h"

namespace vmae {
namespace {

namespace fs = std::filesystem;
using Kind = YamlNode::Kind;

constexpr const char* kListHint = "vmae ... --print-config lists every key";
constexpr size_t kMaxConfigBytes = 4 << 20;

[[noreturn]] void fail(const std::string& where, const std::string& what, const std::string& hint = "") {
  throw Error(ExitCode::usage, where + ": " + what, hint);
}

constexpr std::string_view kEnding = ".yaml";

// "pretrain/mr" of "configs/pretrain/mr.yaml", as documentation and examples name it.
std::string shipped_name(const fs::path& named) {
  std::string name = named.lexically_normal().string();
  if (name.starts_with("configs/")) name = name.substr(std::string_view("configs/").size());
  return name.ends_with(kEnding) ? name.substr(0, name.size() - kEnding.size()) : name;
}

std::string hint_for_missing(const fs::path& named) {
  const std::string name = shipped_name(named), last = "/" + name.substr(name.rfind('/') + 1);
  const std::vector<std::string> names = names_of_shipped_configs();
  std::vector<std::string> near;
  std::copy_if(names.begin(), names.end(), std::back_inserter(near),
               [&](const std::string& one) { return one.ends_with(last); });
  if (near.empty()) near.push_back(did_you_mean(name, names));
  const std::string advice = "`vmae docs configs` lists those that vmae brings";
  return near.front().empty() ? advice : concat("did you mean '", join(near, "' or '"), "'? ", advice);
}

// The file that `named` is, as seen from `folder`: one that is there, else one that vmae brings.
fs::path find_config(const fs::path& folder, const fs::path& named, const std::string& where) {
  const fs::path own = folder.empty() ? named : (folder / named).lexically_normal();
  if (named.is_absolute() || path_problem(own) != kAbsent) return own;
  fs::path shipped = shipped_configs() / (shipped_name(named) + std::string(kEnding));
  if (!path_problem(shipped).empty())
    fail(where, concat("cannot read the config ", own.string(), ": No such file or directory"),
         hint_for_missing(named));
  static std::set<fs::path> said;  // a config is read several times, and on every rank
  if (said.insert(shipped).second && !is_local_rank())
    log::info(concat("config ", named.string(), ": ", shipped.string()));
  return shipped;
}

bool is_section(const Options& options, const std::string& name) {
  return std::any_of(options.all().begin(), options.all().end(),
                     [&](const Option& option) { return option.key.rfind(name + ".", 0) == 0; });
}

// Every key and every section. A key that is right but for its section ("lr", "train.lr") is found by its last part.
std::string unknown_key_hint(const Options& options, const std::string& key) {
  const std::string last = "." + key.substr(key.rfind('.') + 1);
  std::vector<std::string> candidates, same_last;
  for (const Option& option : options.all()) {
    candidates.push_back(option.key);
    for (size_t dot = option.key.find('.'); dot != std::string::npos; dot = option.key.find('.', dot + 1))
      candidates.push_back(option.key.substr(0, dot));
    if (last.size() > 1 && option.key.size() > last.size() && option.key.ends_with(last))
      same_last.push_back(option.key);
  }
  std::string near = did_you_mean(key, candidates);
  if (near.empty() && same_last.size() <= 3) near = join(same_last, "' or '");
  return near.empty() ? kListHint : concat("did you mean '", near, "'? (", kListHint, ")");
}

// On one line, cut where it is long.
std::string shown(const YamlNode& node) {
  std::string text = node.text;
  if (node.kind == Kind::null) text = "null";
  if (node.kind == Kind::map) text = "{...}";
  if (node.kind == Kind::list) {
    std::vector<std::string> items;
    for (const YamlNode& child : node.children) items.push_back(shown(child));
    text = "[" + join(items, ", ") + "]";
  }
  constexpr size_t kLongest = 80;
  if (text.size() > kLongest) {
    size_t cut = kLongest;
    while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;  // not inside a UTF-8 sequence
    text = text.substr(0, cut) + "...";
  }
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return text.empty() ? "\"\"" : text;
}

std::vector<NamedTexts> groups_of(const YamlNode& map) {
  std::vector<NamedTexts> groups;
  for (size_t i = 0; i + 1 < map.children.size(); i += 2) {
    const YamlNode &key = map.children[i], &value = map.children[i + 1];
    if (key.kind != Kind::scalar) throw std::invalid_argument("must have names as keys, not " + shown(key));
    NamedTexts group{key.text, {}};
    if (value.kind == Kind::scalar) group.texts.push_back(value.text);
    for (const YamlNode& item : value.kind == Kind::list ? value.children : std::vector<YamlNode>{}) {
      if (item.kind != Kind::scalar) throw std::invalid_argument("must hold texts alone in each list");
      group.texts.push_back(item.text);
    }
    if (group.texts.empty())
      throw std::invalid_argument(concat("must have a text or a list of texts under '", key.text, "'"));
    groups.push_back(std::move(group));
  }
  return groups;
}

OptionValue option_value(const YamlNode& node) {
  OptionValue value;
  value.is_null = node.kind == Kind::null;
  value.is_list = node.kind == Kind::list;
  value.is_map = node.kind == Kind::map;
  if (value.is_map) {
    value.groups = groups_of(node);
    return value;
  }
  if (node.kind == Kind::scalar) value.items.push_back(node.text);
  for (const YamlNode& child : node.children) {
    if (child.kind == Kind::list || child.kind == Kind::map)
      throw std::invalid_argument("must not hold a list or a map inside a list");
    value.items.push_back(child.text);
  }
  return value;
}

void set_option(const Option& option, const YamlNode& value, const std::string& where) {
  try {
    if (value.kind == Kind::map && !option.takes_map)
      throw std::invalid_argument(concat("must be a ", option.type, ", not a map"));
    option.set(option_value(value));
  } catch (const std::invalid_argument& problem) {
    fail(where, concat(option.key, " = ", shown(value), ": ", problem.what()));
  }
}

using FirstLines = std::map<std::string, int>;  // of every key of one file

void read_map(const YamlNode& map, const std::string& prefix, const std::string& name, Options& options,
              FirstLines& first_lines) {
  for (size_t i = 0; i + 1 < map.children.size(); i += 2) {
    const YamlNode& key_node = map.children[i];
    const YamlNode& value = map.children[i + 1];
    const std::string where = concat(name, ":", key_node.line);
    if (key_node.kind != Kind::scalar) fail(where, "a key must be a name, not " + shown(key_node));
    if (key_node.text == "<<")
      fail(where, "merge keys (<<) are not supported", "use 'base: other.yaml' to start from another config");
    const std::string key = prefix + key_node.text;
    const auto [first, is_new] = first_lines.emplace(key, key_node.line);
    if (!is_new) fail(where, concat("'", key, "' is given twice; first on line ", first->second));
    if (key == "base") continue;  // read before the other keys
    if (const Option* option = options.find(key)) {
      set_option(*option, value, where);
    } else if (!is_section(options, key)) {
      YamlNode shown_key;
      shown_key.kind = Kind::scalar;
      shown_key.text = key;
      throw UnknownKey(
          ExitCode::usage,
          concat(where, ": unknown ", value.kind == Kind::map ? "section" : "key", " '", shown(shown_key), "'"),
          unknown_key_hint(options, key));
    } else if (value.kind == Kind::map) {
      read_map(value, key + ".", name, options, first_lines);
    } else if (value.kind != Kind::null) {  // "optim:" with every key commented out is null
      fail(where, concat("'", key, "' is a section, so it cannot be ", shown(value)), kListHint);
    }
  }
}

YamlNode read_root(const std::string& yaml, const std::string& name) {
  YamlNode root = parse_yaml(yaml, name);
  if (root.kind == Kind::scalar || root.kind == Kind::list) {
    fail(concat(name, ":", root.line), "a config must be a map of 'key: value' lines, not " + shown(root), kListHint);
  }
  return root;
}

const YamlNode* find_base(const YamlNode& root) {
  for (size_t i = 0; i + 1 < root.children.size(); i += 2) {
    if (root.children[i].kind == Kind::scalar && root.children[i].text == "base") return &root.children[i + 1];
  }
  return nullptr;
}

// Not read_file(): what a user passes by mistake may be a huge image, and a config may come through a pipe, which gives
// it once, but is asked several times.
std::string read_config_bytes(const fs::path& path, const std::string& where) {
  static std::map<fs::path, std::string> from_pipes;
  if (const auto kept = from_pipes.find(path); kept != from_pipes.end()) return kept->second;
  const auto fail_to_read = [&](int error_number) {
    fail(where, concat("cannot read the config ", path.string(), ": ", std::generic_category().message(error_number)));
  };
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail_to_read(errno);
  struct stat status {};
  const bool is_pipe = fstat(descriptor, &status) == 0 && S_ISFIFO(status.st_mode);
  std::string content(kMaxConfigBytes + 1, '\0');
  size_t size = 0;
  ssize_t count = 1;
  while (size < content.size() && count != 0) {
    count = read(descriptor, content.data() + size, content.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;
    size += static_cast<size_t>(count);
  }
  const int error_number = count < 0 ? errno : 0;
  close(descriptor);
  if (error_number != 0) fail_to_read(error_number);
  if (size > kMaxConfigBytes)
    fail(where, concat(path.string(), " is larger than ", human_bytes(kMaxConfigBytes), ", so it cannot be a config"));
  content.resize(size);
  if (is_pipe && size == 0)
    fail(where, concat(path.string(), " is an empty pipe"),
         "a pipe is read once, and not on several ranks: give a file");
  if (is_pipe) from_pipes[path] = content;
  return content;
}

// `chain`: the files that are being read, outermost first.
void read_file_after_base(const fs::path& path, const std::string& where, std::vector<fs::path>& chain,
                          Options& options) {
  const std::string name = path.string();
  const YamlNode root = read_root(read_config_bytes(path, where), name);
  std::error_code ignored;
  chain.push_back(fs::weakly_canonical(path, ignored));
  if (const YamlNode* base = find_base(root)) {
    const std::string base_where = concat(name, ":", base->line);
    if (base->kind != Kind::scalar || base->text.empty())
      fail(base_where, concat("base = ", shown(*base), ": must be the path of another config"));
    const fs::path base_path = find_config(path.parent_path(), base->text, base_where);
    if (std::find(chain.begin(), chain.end(), fs::weakly_canonical(base_path, ignored)) != chain.end()) {
      fail(base_where, concat("base = ", base->text, ": the base files form a cycle"),
           "a config must not be, directly or through others, its own base");
    }
    read_file_after_base(base_path, base_where, chain, options);
  }
  chain.pop_back();
  FirstLines first_lines;
  read_map(root, "", name, options, first_lines);
}

}  // namespace

void read_config_file(const fs::path& path, Options& options) {
  std::vector<fs::path> chain;
  read_file_after_base(find_config("", path, "--config"), "--config", chain, options);
}

fs::path shipped_configs() {
  std::error_code ignored;
  return fs::read_symlink("/proc/self/exe", ignored).parent_path().parent_path() / "share/vmae/configs";
}

std::vector<std::string> names_of_shipped_configs() {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(shipped_configs(), ignored)) {
    if (entry.path().extension() == kEnding)
      names.push_back(shipped_name(entry.path().lexically_relative(shipped_configs())));
  }
  std::sort(names.begin(), names.end());
  return names;
}

void read_config_text(const std::string& yaml, const std::string& name, Options& options) {
  const YamlNode root = read_root(yaml, name);
  if (const YamlNode* base = find_base(root)) fail(concat(name, ":", base->line), "'base' works only in a file");
  FirstLines first_lines;
  read_map(root, "", name, options, first_lines);
}

void apply_override(const std::string& assignment, Options& options) {
  const std::string where = "command line";
  if (!is_utf8(assignment)) fail(where, "an override is not UTF-8 text");
  const size_t equals = assignment.find('=');
  const std::string key(trim(std::string_view(assignment).substr(0, equals)));
  if (equals == std::string::npos) {
    fail(where, concat("'", assignment, "' has no '='"),
         options.find(key) != nullptr ? concat("write ", key, "=VALUE")
                                      : "overrides are written key=value, such as optim.lr=1e-4");
  }
  const Option* option = options.find(key);
  if (option == nullptr && key == "base") fail(where, "'base' works only in a file");
  if (option == nullptr && is_section(options, key))
    fail(where, concat("'", key, "' is a section; give one of its keys, such as ", key, ".KEY=VALUE"), kListHint);
  if (option == nullptr)
    throw UnknownKey(ExitCode::usage, concat(where, ": unknown key '", key, "'"), unknown_key_hint(options, key));

  const std::string text(trim(std::string_view(assignment).substr(equals + 1)));
  YamlNode value;
  if (!text.empty() && std::string_view("[{\"'").find(text[0]) != std::string_view::npos) {
    value = parse_yaml(text, concat(where, ": ", key, " = ", text));
  } else if (!text.empty() && text != "~" && to_lower(text) != "null") {
    value.kind = Kind::scalar;
    value.text = text;
  }
  set_option(*option, value, where);
}

}  // namespace vmae
