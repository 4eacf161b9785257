// Both forms follow the tree of sections: an option belongs to the longest section
// name that starts its key, a section to the longest that starts its name.
#include <algorithm>

#include "vmae/core/config.h"
#include "vmae/core/text.h"

namespace vmae {
namespace {

constexpr size_t kColumns = 110;

std::string section_of(const Options& options, const std::string& name) {
  std::string longest;
  for (const auto& [section, doc] : options.sections()) {
    if (section.size() > longest.size() && name.rfind(section + ".", 0) == 0) longest = section;
  }
  return longest;
}

std::string without_section(const std::string& name, const std::string& section) {
  return section.empty() ? name : name.substr(section.size() + 1);
}

std::string allowed_values(const Option& option) {
  if (option.allowed.empty() || option.allowed.starts_with("one of"))
    return option.allowed.empty() ? option.type : option.allowed;
  return option.type + (option.allowed.starts_with("each") ? ", " : " ") + option.allowed;
}

std::string wrapped_comment(const std::string& text, const std::string& indent) {
  std::istringstream in(text);
  std::string out, line = indent + "#";
  for (std::string word; in >> word;) {
    if (line.size() + 1 + word.size() > kColumns && line.size() > indent.size() + 1) {
      out += line + "\n";
      line = indent + "#";
    }
    line += " " + word;
  }
  return out + line + "\n";
}

void print_section(const Options& options, const std::string& section, const std::string& indent, bool with_comments,
                   std::string& out) {
  for (const Option& option : options.all()) {
    if (section_of(options, option.key) != section) continue;
    if (with_comments)
      out += wrapped_comment(concat(option.doc, " (", allowed_values(option), "; default: ", option.default_text, ")"),
                             indent);
    out += concat(indent, without_section(option.key, section), ": ", option.get(), "\n");
  }
  for (const auto& [inner, doc] : options.sections()) {
    if (section_of(options, inner) != section) continue;
    std::string body;
    print_section(options, inner, indent + "  ", with_comments, body);
    if (body.empty()) continue;
    if (with_comments) {
      if (!out.empty()) out += '\n';
      if (!doc.empty()) out += wrapped_comment(doc, indent);
    }
    out += concat(indent, without_section(inner, section), ":\n", body);
  }
}

std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

void markdown_table(const Options& options, const std::string& section, std::string& out) {
  std::string rows;
  for (const Option& option : options.all()) {
    if (section_of(options, option.key) != section) continue;
    rows += concat("| `", option.key, "` | `", cell(option.default_text), "` | ", cell(allowed_values(option)), " | ",
                   cell(option.doc), " |\n");
  }
  if (!rows.empty()) out += "\n| key | default | allowed | meaning |\n|---|---|---|---|\n" + rows;
}

}  // namespace

std::string config_yaml(const Options& options, bool with_comments) {
  std::string out;
  print_section(options, "", "", with_comments, out);
  return out;
}

std::string config_markdown(const Options& options, const std::string& title, size_t level) {
  std::string out = std::string(level, '#') + " " + title + "\n";
  markdown_table(options, "", out);
  for (const auto& [section, doc] : options.sections()) {
    out += concat("\n", std::string(level + 1, '#'), " ", section, "\n");
    if (!doc.empty()) out += "\n" + doc + "\n";
    markdown_table(options, section, out);
  }
  return out;
}

}  // namespace vmae
