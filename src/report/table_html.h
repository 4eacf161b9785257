#pragma once
#include <string>

#include "vmae/report/table.h"

namespace vmae::report {

// `label` stands before the caption: "Table 2".
std::string to_html(const Table& table, const std::string& label);

// Notes and remarks, to stand below the table.
std::string notes_html(const Table& table);

// The cell of a row that may be too short.
inline const std::string& cell(const std::vector<std::string>& row, size_t column) {
  static const std::string none;
  return column < row.size() ? row[column] : none;
}
inline bool is_number(const Table& table, size_t column) {
  return column < table.is_number.size() && table.is_number[column];
}

// Of "-0.02 (-0.05 to 0.01)" or "0.87 (0.85-0.89)", the hyphens as minus signs and en dashes; other texts stay.
std::string with_dashes(const std::string& text, const std::string& minus, const std::string& dash);

}  // namespace vmae::report
