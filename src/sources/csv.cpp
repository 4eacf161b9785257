// RFC 4180 by a scanner that takes one field at a time: a field is quoted
// ("" stands for a quote, line ends are text) or runs to the next separator.
#include "vmae/sources/csv.h"

#include <algorithm>
#include <set>

#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/utf8_text.h"

namespace vmae::io {
namespace {

constexpr const char* kHint = "save it as \"CSV UTF-8\" (in Excel: Save As, type CSV UTF-8)";

class Scanner {
 public:
  Scanner(std::string_view text, const std::string& name) : text_(text), name_(name) {
    if (take_separator_line()) return;
    const std::string_view header = text_.substr(0, text_.find_first_of("\r\n"));
    for (const char candidate : {',', ';', '\t'}) {
      if (std::count(header.begin(), header.end(), candidate) > std::count(header.begin(), header.end(), separator_))
        separator_ = candidate;
    }
  }

  bool at_end() const { return at_ >= text_.size(); }

  CsvRow row() {
    CsvRow row{{}, line_};
    do {
      row.fields.push_back(field());
    } while (take(separator_));
    const bool carriage_return = take('\r');
    if (take('\n') || carriage_return) {  // alone: an old Macintosh line end
      ++line_;
    } else if (!at_end()) {
      fail(line_, concat("text after a closing quote: '", text_[at_], "'"));
    }
    return row;
  }

  [[noreturn]] void fail(int64_t line, const std::string& what) const {
    throw Error(ExitCode::data, concat(name_, ":", line, ": ", what));
  }

 private:
  // "sep=;" as the first line, which tells Excel the separator.
  bool take_separator_line() {
    const size_t end = std::min(text_.find_first_of("\r\n"), text_.size());
    std::string_view line = text_.substr(0, end);
    if (line.size() > 1 && line.front() == '"' && line.back() == '"') line = line.substr(1, line.size() - 2);
    if (line.size() != 5 || to_lower(line.substr(0, 4)) != "sep=" || line[4] == '"') return false;
    separator_ = line[4];
    at_ = end;
    const bool carriage_return = take('\r');
    if (take('\n') || carriage_return) ++line_;
    return true;
  }

  bool take(char wanted) {
    if (at_end() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }

  std::string field() {
    if (!take('"')) {
      const size_t end = std::min(text_.find_first_of(std::string{separator_, '\r', '\n'}, at_), text_.size());
      const std::string_view bare = text_.substr(at_, end - at_);
      at_ = end;
      return std::string(trim(bare));
    }
    const int64_t opened = line_;
    std::string quoted;
    while (!at_end()) {
      const char c = text_[at_++];
      // some programs pad cells with blanks before they quote them
      if (c == '"' && !take('"')) return std::string(trim(quoted));
      if (c == '\n') ++line_;
      quoted += c;
    }
    fail(opened, "a quote (\") is opened and never closed");
  }

  std::string_view text_;
  const std::string& name_;
  char separator_ = ',';
  size_t at_ = 0;
  int64_t line_ = 1;
};

// Also ";;", which spreadsheets leave where rows were emptied.
bool is_blank(const CsvRow& row) {
  return std::all_of(row.fields.begin(), row.fields.end(), [](const std::string& field) { return field.empty(); });
}

}  // namespace

std::optional<size_t> Csv::column(const std::vector<std::string>& names) const {
  for (const std::string& wanted : names) {
    for (size_t i = 0; i < columns.size(); ++i) {
      if (to_lower(columns[i]) == to_lower(wanted)) return i;
    }
  }
  return std::nullopt;
}

Csv parse_csv(std::string_view text, const std::string& name) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF") || text.find('\0') != std::string_view::npos)
    throw Error(ExitCode::data, name + ":1: is not UTF-8 text but UTF-16, or no text at all", kHint);
  require_utf8(text, name, kHint);
  Csv csv{name, {}, {}};
  Scanner scanner(text, name);
  while (!scanner.at_end()) {
    CsvRow row = scanner.row();
    if (is_blank(row)) continue;
    if (csv.columns.empty()) {
      std::set<std::string> seen;
      for (const std::string& field : row.fields) {
        const std::string column(trim(field));
        if (!column.empty() && !seen.insert(to_lower(column)).second)
          scanner.fail(row.line, "the header names the column '" + column + "' twice");
        csv.columns.push_back(column);
      }
    } else if (row.fields.size() != csv.columns.size()) {
      scanner.fail(row.line, concat("has ", row.fields.size(), " fields, but the header has ", csv.columns.size(),
                                    " columns (", join(csv.columns, ", "), ")"));
    } else {
      csv.rows.push_back(std::move(row));
    }
  }
  if (csv.columns.empty())
    throw Error(ExitCode::data, name + " is empty: a CSV file needs a header line with the names of its columns");
  return csv;
}

Csv read_csv(const std::filesystem::path& path) { return parse_csv(read_file(path), path.string()); }

}  // namespace vmae::io
