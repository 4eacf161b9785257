// yaml-cpp's event parser fills a stack of open lists and maps; a node that closes
// moves into the one below it. Its node API is not used because it hides duplicate
// keys and aliases (which can make cycles and exponentially large trees).
#include "yaml_text.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "vmae/core/error.h"
#include "vmae/core/utf8_text.h"

namespace vmae {
namespace {

class TreeBuilder : public YAML::EventHandler {
 public:
  YamlNode take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(checked(YamlNode::Kind::null, mark, "?", anchor));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw YAML::ParserException(mark, "aliases (*name) are not supported; write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node = checked(YamlNode::Kind::scalar, mark, tag, anchor);
    // yaml-cpp makes them one byte of Latin-1
    if (!is_utf8(value)) throw YAML::ParserException(mark, "the escapes \\N and \\_ are not supported");
    node.text = value;
    add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open_.push_back(checked(YamlNode::Kind::list, mark, tag, anchor));
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open_.push_back(checked(YamlNode::Kind::map, mark, tag, anchor));
  }
  void OnMapEnd() override { close(); }

 private:
  static YamlNode checked(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0) throw YAML::ParserException(mark, "anchors (&name) are not supported; write the value out");
    // "?": plain, "!": quoted
    if (!tag.empty() && tag != "?" && tag != "!")
      throw YAML::ParserException(mark, "tags (" + tag + ") are not supported");
    YamlNode node;
    node.kind = kind;
    node.line = mark.line + 1;
    return node;
  }
  void add(YamlNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
    } else {
      open_.back().children.push_back(std::move(node));
    }
  }
  void close() {
    YamlNode node = std::move(open_.back());
    open_.pop_back();
    add(std::move(node));
  }

  YamlNode root_;
  std::vector<YamlNode> open_;
};

// yaml-cpp takes byte 4 for the end of the file and lets a tab
// count as indentation or not, silently; both are caught here.
void check_text(const std::string& yaml, const std::string& name) {
  int line = 1;
  bool is_indentation = true;
  for (const char c : yaml) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7f) {
      throw Error(ExitCode::usage,
                  concat(name, ":", line, ": not a text file: it holds the byte ", static_cast<int>(byte)),
                  "a config is YAML text in UTF-8");
    }
    if (is_indentation && c == '\t')
      throw Error(ExitCode::usage, concat(name, ":", line, ": a tab at the start of the line"), "indent with spaces");
    is_indentation = c == '\n' || (is_indentation && c == ' ');
    if (c == '\n') ++line;
  }
  require_utf8(yaml, name, "a config is YAML text in UTF-8", ExitCode::usage);
}

bool reads_as_text(const std::string& text) {
  static constexpr std::array<const char*, 11> kWords = {"null", "true", "false", "yes", "no", "on",
                                                         "off",  "y",    "n",     "inf", "nan"};
  if (std::find(kWords.begin(), kWords.end(), to_lower(text)) != kWords.end()) return false;
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '/';
  };
  const auto is_inner = [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+';
  };
  size_t dots = text.starts_with("../") ? 2 : 0;
  if (text.starts_with("./")) dots = 1;
  return text.size() > dots && is_letter(text[dots]) && std::all_of(text.begin(), text.end(), is_inner);
}

}  // namespace

YamlNode parse_yaml(const std::string& yaml, const std::string& name) {
  check_text(yaml, name);
  try {
    std::istringstream in(yaml);
    YAML::Parser parser(in);
    TreeBuilder builder;
    if (!parser.HandleNextDocument(builder)) return {};
    TreeBuilder second;
    if (parser.HandleNextDocument(second)) {
      throw Error(ExitCode::usage, concat(name, ":", second.take_root().line, ": a second YAML document"),
                  "remove the line '---' between them");
    }
    return builder.take_root();
  } catch (const YAML::Exception& problem) {
    const std::string line = problem.mark.is_null() ? "" : concat(":", problem.mark.line + 1);
    throw Error(ExitCode::usage, concat(name, line, ": YAML: ", problem.msg));
  }
}

std::string yaml_scalar(const std::string& text) {
  if (reads_as_text(text)) return text;
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace vmae
