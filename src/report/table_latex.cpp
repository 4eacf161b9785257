// A table environment for booktabs: \usepackage{booktabs}, and with pdfTeX \usepackage[T1]{fontenc}.
#include "table_html.h"
#include "utf8.h"
#include "vmae/core/text.h"

namespace vmae::report {
namespace {

// Letters and digits of the name, for \label.
std::string label_of(const std::string& name) {
  std::string out;
  for (const char c : name) out += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '-';
  return out;
}

}  // namespace

std::string latex_text(std::string_view text) {
  const std::string line = on_one_line(text);
  std::string out;
  for (size_t at = 0; at < line.size();) {
    const char32_t c = next_character(line, at);
    switch (c) {
      case '\\':
        out += "\\textbackslash{}";
        break;
      case '^':
        out += "\\textasciicircum{}";
        break;
      case '~':
        out += "\\textasciitilde{}";
        break;
      case '<':
        out += "\\textless{}";
        break;  // of the old font encoding, < > | " are other characters
      case '>':
        out += "\\textgreater{}";
        break;
      case '|':
        out += "\\textbar{}";
        break;
      case '"':
        out += "\\textquotedbl{}";
        break;
      case U'\u2212':
        out += "$-$";
        break;
      case 0xfffd:
        out += '?';
        break;  // which no font of TeX has
      case '-':
        out += out.ends_with('-') ? "{}-" : "-";
        break;  // no ligature
      case '{':
      case '}':
      case '$':
      case '&':
      case '#':
      case '_':
      case '%':
        out += '\\';
        [[fallthrough]];
      default:
        out += to_utf8(c);
    }
  }
  return out;
}

std::string to_latex(const Table& table) {
  std::string layout;
  for (size_t k = 0; k < table.columns.size(); ++k) layout += is_number(table, k) ? 'r' : 'l';
  const auto line = [&](const std::vector<std::string>& row, bool is_head) {
    std::vector<std::string> cells;
    for (size_t k = 0; k < table.columns.size(); ++k) {
      const std::string& text = cell(row, k);
      std::string shown = latex_text(is_number(table, k) && !is_head ? with_dashes(text, "\u2212", "\u2013") : text);
      cells.push_back(shown.starts_with('[') ? "{}" + shown : shown);  // after \\ a bracket would be its argument
    }
    return "  " + join(cells, " & ") + " \\\\\n";
  };
  std::string out = "% needs \\usepackage{booktabs}\n\\begin{table}[htbp]\n  \\centering\n";
  out += "  \\caption{" + latex_text(table.caption) + "}\n  \\label{tab:" + label_of(table.name) + "}\n";
  out += "  \\begin{tabular}{" + layout + "}\n  \\toprule\n" + line(table.columns, true) + "  \\midrule\n";
  for (const auto& row : table.rows) out += line(row, false);
  out += "  \\bottomrule\n  \\end{tabular}\n";
  for (const std::string& line_below : lines_below(table))
    out += "  \\par\\smallskip{\\footnotesize " + latex_text(line_below) + "\\par}\n";
  return out + "\\end{table}\n";
}

}  // namespace vmae::report
