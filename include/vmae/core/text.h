#pragma once
// Small text helpers. No torch here: everything in core, report and what reads files compiles without LibTorch.
#include <cstdint>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace vmae {

// concat("train.batch_size = ", 640, " is too large"): every argument as operator<< prints it.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string to_lower(std::string_view text);
std::string_view trim(std::string_view text);
bool is_utf8(std::string_view bytes);
// JSON that nests deeper than anything we write or read (64 levels). To be asked before a file of strangers is parsed:
// the parser does not mind, but copying and printing what it made recurse, and end the program where the stack ends.
bool is_deep_json(std::string_view text);

// Strict: the whole text is one finite decimal number ("1e-4",
// ".5", "+3") or nothing; no blanks, "1_000", "0x10", "nan".
std::optional<double> parse_number(std::string_view text);
std::optional<int64_t> parse_integer(std::string_view text);  // "-12"; not "1.5", not "1e3"
// the shortest text that parse_number reads back bit for bit: "1e-4"
std::string number_text(double value);

// The candidate nearest to `word` by edit distance, or "" if none is near enough to be a typing error.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

// One word of a command that is to be copied into a shell: in quotes where it needs them.
std::string shell_word(const std::string& text);

// "1 case", "2 cases"
std::string count_text(int64_t count, std::string_view thing);

// 1536 -> "1.5 KiB"; 62.5 -> "1 min 02 s".
std::string human_bytes(double bytes);
std::string human_seconds(double seconds);

}  // namespace vmae
