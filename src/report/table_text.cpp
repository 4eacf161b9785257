// Plain text. Where the terminal is too narrow, first texts are shortened, then
// the columns go into several blocks below each other, each with the row's names.
#include <algorithm>

#include "table_html.h"
#include "utf8.h"
#include "vmae/core/text.h"

namespace vmae::report {
namespace {

constexpr size_t kGap = 2, kShortest = 14;

std::string fitted(const std::string& text, size_t width, bool at_right) {
  const std::string shown = shortened(
      on_one_line(text), static_cast<double>(width), [](char32_t c) { return static_cast<double>(columns_of(c)); },
      Cut::middle);
  const std::string blanks(width - std::min(width, display_width(shown)), ' ');
  return at_right ? blanks + shown : shown + blanks;
}

size_t sum_of(const std::vector<size_t>& columns, const std::vector<size_t>& widths) {
  size_t sum = 0;
  for (const size_t k : columns) sum += widths[k] + kGap;
  return sum - std::min(sum, kGap);
}

std::string block(const Table& table, const std::vector<size_t>& columns, const std::vector<size_t>& widths) {
  const auto line = [&](const std::vector<std::string>& row) {
    std::string out;
    for (const size_t k : columns)
      out += (out.empty() ? "" : std::string(kGap, ' ')) + fitted(cell(row, k), widths[k], is_number(table, k));
    return out.substr(0, out.find_last_not_of(' ') + 1) + "\n";
  };
  std::string out = line(table.columns) + std::string(sum_of(columns, widths), '-') + "\n";
  for (const auto& row : table.rows) out += line(row);
  return out;
}

}  // namespace

std::string to_text(const Table& table, size_t max_columns) {
  std::vector<size_t> widths, all;
  for (size_t k = 0; k < table.columns.size(); ++k) {
    size_t width = display_width(on_one_line(table.columns[k]));
    for (const auto& row : table.rows) width = std::max(width, display_width(on_one_line(cell(row, k))));
    widths.push_back(width);
    all.push_back(k);
  }
  const std::vector<size_t> wanted = widths;
  // The widest text gives way, column by column, until all fit or none has more than it needs.
  while (max_columns > 0 && sum_of(all, widths) > max_columns) {
    size_t widest = all.size();
    for (const size_t k : all) {
      if (!is_number(table, k) && widths[k] > kShortest && (widest == all.size() || widths[k] > widths[widest]))
        widest = k;
    }
    if (widest == all.size()) break;
    --widths[widest];
  }
  // several blocks: no use to shorten more than their names' share of the line
  if (max_columns > 0 && sum_of(all, widths) > max_columns) {
    widths = wanted;
    for (const size_t k : all) {
      if (!is_number(table, k)) widths[k] = std::min(widths[k], std::max(kShortest, max_columns / 4));
    }
  }
  std::string out = table.caption.empty() ? "" : on_one_line(table.caption) + "\n\n";
  const std::vector<size_t> names(
      all.begin(), all.begin() + static_cast<std::ptrdiff_t>(std::min(table.num_row_headers, all.size())));
  std::vector<size_t> columns = names;
  for (size_t k = names.size(); k < all.size(); ++k) {
    columns.push_back(k);
    if (max_columns > 0 && sum_of(columns, widths) > max_columns && columns.size() > names.size() + 1) {
      columns.pop_back();
      out += block(table, columns, widths) + "\n";
      columns = names;
      columns.push_back(k);
    }
  }
  if (!columns.empty()) out += block(table, columns, widths);
  const std::vector<std::string> below = lines_below(table);
  if (!below.empty()) out += '\n';
  for (const std::string& line : below) out += on_one_line(line) + "\n";
  return out;
}

}  // namespace vmae::report
