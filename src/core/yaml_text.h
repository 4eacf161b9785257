#pragma once
// YAML as a plain tree with line numbers, and texts as YAML scalars. Private to core: nothing else sees YAML.
#include <string>
#include <vector>

namespace vmae {

struct YamlNode {
  enum class Kind { null, scalar, list, map };
  Kind kind = Kind::null;
  int line = 1;
  std::string text;  // of a scalar
  // of a list; of a map: key, value, key, value, ... in the file's order, duplicates kept
  std::vector<YamlNode> children;
};

// One document; empty text is null. Anchors, aliases, tags, a second document and text that is not UTF-8 are errors.
// Throws Error(usage): "name:line: what".
YamlNode parse_yaml(const std::string& yaml, const std::string& name_in_messages);

// The text as one YAML scalar, quoted where it would otherwise be read as something else by any YAML reader.
std::string yaml_scalar(const std::string& text);

}  // namespace vmae
