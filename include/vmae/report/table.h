#pragma once
// One table, shown on the terminal, in HTML, LaTeX and CSV.
#include <string>
#include <string_view>
#include <vector>

namespace vmae::report {

struct Table {
  std::string name{};     // of files: "segmentation", "comparison"
  std::string caption{};  // one sentence
  std::vector<std::string> columns{};
  std::vector<std::vector<std::string>> rows{};  // as many texts as columns, UTF-8
  std::vector<bool> is_number{};                 // per column: right-aligned
  size_t num_row_headers = 1;                    // columns that name the row
  std::vector<std::string> notes{};              // below it: how it is to be read
  // below these: what is remarkable about its numbers, the first kShownRemarks of them
  std::vector<std::string> remarks{};
};
constexpr size_t kShownRemarks = 5;  // HTML has the others folded; text and LaTeX count them
// The notes, the first remarks, and how many more there are.
std::vector<std::string> lines_below(const Table& table);

// aligned; wide characters counted; 0: as wide as it is
std::string to_text(const Table& table, size_t max_columns = 0);
std::string to_csv(const Table& table);    // RFC 4180
std::string to_latex(const Table& table);  // booktabs; every special character escaped
std::string to_html(const Table& table);   // <table> with caption, th scope=col and scope=row

std::string csv_line(const std::vector<std::string>& fields);  // quoted where needed, ending with a line feed
// escaped, for text and for attributes in double quotes; invalid UTF-8 becomes U+FFFD
std::string html_text(std::string_view text);
std::string latex_text(std::string_view text);

// "0.874 (0.851-0.893)", "12.3", "-"; digits after the point. NaN: "-".
std::string number(double value, int digits = 3);
std::string with_interval(double value, double low, double high, int digits = 3);
std::string p_text(double p);  // "0.032", "<0.001", "-"

}  // namespace vmae::report
