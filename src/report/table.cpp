// Numbers, CSV and HTML; plain text and LaTeX have files of their own.
#include "vmae/report/table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "table_html.h"
#include "utf8.h"
#include "vmae/core/text.h"

namespace vmae::report {

std::string number(double value, int digits) {
  if (std::isnan(value)) return "-";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 400> buffer{};  // 1e308 has 309 digits
  std::snprintf(buffer.data(), buffer.size(), "%.*f", digits, value);
  const std::string text = buffer.data();
  // no "-0.000"
  return text.find_first_of("123456789") == std::string::npos && text.front() == '-' ? text.substr(1) : text;
}

std::string with_interval(double value, double low, double high, int digits) {
  if (std::isnan(value) || std::isnan(low) || std::isnan(high)) return number(value, digits);
  const std::string from = number(low, digits), to = number(high, digits);
  const bool has_sign = from.front() == '-' || to.front() == '-';
  return number(value, digits) + " (" + from + (has_sign ? " to " : "-") + to + ")";
}

std::string p_text(double p) {
  if (std::isnan(p)) return "-";
  return p < 0.001 ? "<0.001" : number(p, 3);
}

std::vector<std::string> lines_below(const Table& table) {
  std::vector<std::string> lines = table.notes;
  const size_t shown = std::min(table.remarks.size(), kShownRemarks), rest = table.remarks.size() - shown;
  lines.insert(lines.end(), table.remarks.begin(), table.remarks.begin() + static_cast<std::ptrdiff_t>(shown));
  if (rest > 0) lines.push_back(concat("And ", rest, rest == 1 ? " more remark." : " more remarks."));
  return lines;
}

std::string csv_line(const std::vector<std::string>& fields) {
  std::vector<std::string> quoted;
  for (const std::string& field : fields) {
    if (field.find_first_of(",\"\r\n") == std::string::npos) {
      quoted.push_back(field);
      continue;
    }
    std::string text = "\"";
    for (const char c : field) text += c == '"' ? "\"\"" : std::string(1, c);
    quoted.push_back(text + "\"");
  }
  return join(quoted, ",") + "\n";
}

std::string to_csv(const Table& table) {
  std::string out = csv_line(table.columns);
  for (std::vector<std::string> row : table.rows) {
    row.resize(table.columns.size());
    out += csv_line(row);
  }
  return out;
}

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : clean(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string with_dashes(const std::string& text, const std::string& minus, const std::string& dash) {
  if (text == "-") return dash;
  std::string letters = text;
  if (const size_t to = letters.find(" to "); to != std::string::npos) letters.erase(to, 4);
  const auto is_digit = [&](size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  if (letters.find_first_not_of("0123456789.,()[]<>=+-% ") != std::string::npos) return text;
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '-' || !is_digit(i + 1)) {
      out += text[i];
    } else {
      out += i > 0 && is_digit(i - 1) ? dash : minus;
    }
  }
  return out;
}

namespace {

// The class of a cell; one with a very long word may be broken anywhere.
std::string style(const std::string& text, bool is_number) {
  constexpr size_t kLongWord = 24;
  size_t longest = 0;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.size(), text.find(' ', begin));
    longest = std::max(longest, end - begin);
    begin = end + 1;
  }
  if (longest > kLongWord) return " class=\"long\"";
  return is_number ? " class=\"number\"" : "";
}

// A line may break before an interval, not in it.
std::string number_html(const std::string& text) {
  const std::string out = html_text(with_dashes(text, "\u2212", "\u2013"));
  const size_t at = out.find(" (");
  return at == std::string::npos ? out : out.substr(0, at + 1) + "<span>" + out.substr(at + 1) + "</span>";
}

}  // namespace

std::string to_html(const Table& table, const std::string& label) {
  const size_t columns = table.columns.size();
  // for a printed page: in smaller type, with lines that break in intervals
  constexpr size_t kMany = 10, kTooMany = 13;
  const char* size = columns >= kMany ? " class=\"many-columns\"" : "";
  if (columns >= kTooMany) size = " class=\"many-columns too-many\"";
  std::string out = concat("<table", size, ">\n<caption><span>");
  if (!label.empty()) out += "<span class=\"label\">" + html_text(label) + ".</span> ";
  out += html_text(table.caption) + "</span></caption>\n<thead>\n<tr>";
  for (size_t k = 0; k < table.columns.size(); ++k)
    out += concat("<th scope=\"col\"", style(table.columns[k], is_number(table, k)), ">", html_text(table.columns[k]),
                  "</th>");
  out += "</tr>\n</thead>\n<tbody>\n";
  for (const auto& row : table.rows) {
    out += "<tr>";
    for (size_t k = 0; k < table.columns.size(); ++k) {
      const bool is_header = k < table.num_row_headers;
      const std::string text = is_number(table, k) ? number_html(cell(row, k)) : html_text(cell(row, k));
      out += concat(is_header ? "<th scope=\"row\"" : "<td", style(cell(row, k), is_number(table, k)), ">", text,
                    is_header ? "</th>" : "</td>");
    }
    out += "</tr>\n";
  }
  if (table.rows.empty() && !table.columns.empty())
    out += concat("<tr><td colspan=\"", table.columns.size(), "\">no rows</td></tr>\n");
  return out + "</tbody>\n</table>\n";
}

std::string notes_html(const Table& table) {
  std::string out;
  const auto add = [&](const std::string& text) { out += "<p class=\"note\">" + html_text(text) + "</p>\n"; };
  for (const std::string& note : table.notes) add(note);
  for (size_t i = 0; i < table.remarks.size(); ++i) {
    const size_t rest = table.remarks.size() - kShownRemarks;
    if (i == kShownRemarks)
      out += concat("<details class=\"more\">\n<summary>", rest, rest == 1 ? " more remark" : " more remarks",
                    "</summary>\n");
    add(table.remarks[i]);
  }
  return table.remarks.size() > kShownRemarks ? out + "</details>\n" : out;
}

std::string to_html(const Table& table) {
  std::string out = to_html(table, "");
  return out + notes_html(table);
}

}  // namespace vmae::report
