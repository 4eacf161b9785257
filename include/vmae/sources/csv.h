#pragma once
// Tables of text: CSV as in RFC 4180, with comma, semicolon or tab (whichever the header line has
// most of, or what a first line "sep=;" says), LF or CRLF, UTF-8 with or without a byte order mark.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmae::io {

struct CsvRow {
  std::vector<std::string> fields;  // as many as there are columns
  int64_t line = 0;                 // where the row begins in the file, from 1; for messages
};

struct Csv {
  std::string name;                  // for messages
  std::vector<std::string> columns;  // the header, trimmed
  std::vector<CsvRow> rows;          // blank lines, and rows of empty fields only, are left out

  // The first of `names` that is a column, whatever its case.
  std::optional<size_t> column(const std::vector<std::string>& names) const;
};

// Throw Error(data) with name:line: no header, a column named twice, a row
// with another number of fields, an open quote, text that is not UTF-8.
Csv parse_csv(std::string_view text, const std::string& name);
Csv read_csv(const std::filesystem::path& path);

}  // namespace vmae::io
