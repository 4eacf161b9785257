#pragma once
// Characters of texts that may come from anywhere: names of classes, files and models.
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace vmae::report {

// The character of `text` at `at`, which moves behind it. A byte that belongs to no character counts as U+FFFD.
char32_t next_character(std::string_view text, size_t& at);
std::string to_utf8(char32_t c);

// Columns of a terminal: 0 for what combines with the character before, 2 for East Asian characters and emoji, else 1.
size_t columns_of(char32_t c);
size_t display_width(std::string_view text);

// What neither XML 1.0 nor a terminal takes becomes U+FFFD: control characters,
// bytes that are no UTF-8, noncharacters. Tab and line breaks stay.
std::string clean(std::string_view text);
std::string on_one_line(std::string_view text);  // clean, with blanks for tabs and line breaks

// `text` as it is where it fits into `room`, else with "…" for its end or its middle.
enum class Cut { end, middle };
std::string shortened(const std::string& text, double room, const std::function<double(char32_t)>& width_of,
                      Cut cut = Cut::end);

}  // namespace vmae::report
