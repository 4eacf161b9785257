#include "utf8.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "vmae/core/text.h"

namespace vmae::report {
namespace {

constexpr char32_t kReplacement = 0xfffd;

using Range = std::pair<char32_t, char32_t>;

template <size_t N>
bool is_in(char32_t c, const std::array<Range, N>& ranges) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [c](const Range& range) { return c >= range.first && c <= range.second; });
}

// The common part of Unicode's general categories Mn, Me and Cf.
constexpr std::array<Range, 24> kZeroWidth{
    {{0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},   {0x64b, 0x65f},     {0x6d6, 0x6dc},
     {0x6df, 0x6e4},   {0x900, 0x902},   {0x93a, 0x93a},   {0x93c, 0x93c},   {0x941, 0x948},     {0x94d, 0x94d},
     {0xe31, 0xe31},   {0xe34, 0xe3a},   {0xe47, 0xe4e},   {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},   {0x200b, 0x200f},
     {0x202a, 0x202e}, {0x2060, 0x206f}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0x1f3fb, 0x1f3ff}, {0xe0100, 0xe01ef}}};
constexpr std::array<Range, 12> kWide{{{0x1100, 0x115f},
                                       {0x2e80, 0x303e},
                                       {0x3041, 0xa4cf},
                                       {0xa960, 0xa97c},
                                       {0xac00, 0xd7a3},
                                       {0xf900, 0xfaff},
                                       {0xfe30, 0xfe6f},
                                       {0xff00, 0xff60},
                                       {0xffe0, 0xffe6},
                                       {0x1f300, 0x1f64f},
                                       {0x1f680, 0x1faff},
                                       {0x20000, 0x3fffd}}};

// Control characters but tab and line breaks, and noncharacters.
bool is_forbidden(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0xfdd0 && c <= 0xfdef) || (c & 0xfffe) == 0xfffe;
}

}  // namespace

char32_t next_character(std::string_view text, size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return static_cast<unsigned char>(text[at++]);
  size_t length = lead >= 0xe0 ? 3 : 2;
  if (lead >= 0xf0) length = 4;
  const std::string_view bytes = text.substr(at, length);
  if (bytes.size() < length || !is_utf8(bytes)) {
    ++at;
    return kReplacement;
  }
  char32_t c = lead & (0xffU >> (length + 1));
  for (size_t k = 1; k < length; ++k) c = (c << 6) | (static_cast<unsigned char>(bytes[k]) & 0x3fU);
  at += length;
  return c;
}

std::string to_utf8(char32_t c) {
  const auto tail = [c](unsigned shift) { return static_cast<char>(0x80 | ((c >> shift) & 0x3f)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xc0 | (c >> 6)), tail(0)};
  if (c < 0x10000) return {static_cast<char>(0xe0 | (c >> 12)), tail(6), tail(0)};
  return {static_cast<char>(0xf0 | (c >> 18)), tail(12), tail(6), tail(0)};
}

size_t columns_of(char32_t c) {
  if (c < 0x300) return 1;
  if (is_in(c, kZeroWidth)) return 0;
  return is_in(c, kWide) ? 2 : 1;
}

size_t display_width(std::string_view text) {
  size_t width = 0;
  for (size_t at = 0; at < text.size();) width += columns_of(next_character(text, at));
  return width;
}

std::string clean(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text, at);
    out += to_utf8(is_forbidden(c) ? kReplacement : c);
  }
  return out;
}

std::string on_one_line(std::string_view text) {
  std::string out = clean(text);
  for (char& c : out) {
    if (c == '\t' || c == '\n' || c == '\r') c = ' ';
  }
  return out;
}

std::string shortened(const std::string& text, double room, const std::function<double(char32_t)>& width_of, Cut cut) {
  std::vector<std::string> pieces;  // characters with what combines with them
  std::vector<double> widths;
  double width = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = next_character(text, at);
    if (columns_of(c) == 0 && !pieces.empty()) {
      pieces.back() += text.substr(begin, at - begin);
      continue;
    }
    pieces.push_back(text.substr(begin, at - begin));
    widths.push_back(width_of(c));
    width += widths.back();
  }
  if (width <= room) return text;
  const std::string ellipsis = "\u2026";
  width += width_of(U'\u2026');
  // [begin, end) is left out: widened at its front and, from the end, no further than to nine twentieths of the room.
  size_t begin = pieces.size(), end = pieces.size();
  if (cut == Cut::middle) {
    for (double kept = 0; end > 0 && kept + widths[end - 1] <= 0.45 * room; --end) kept += widths[end - 1];
    begin = end;
  }
  while (begin > 0 && width > room) width -= widths[--begin];
  while (end < pieces.size() && width > room) width -= widths[end++];
  while (begin > 0 && pieces[begin - 1] == " ") --begin;
  return join({pieces.begin(), pieces.begin() + static_cast<std::ptrdiff_t>(begin)}, "") + ellipsis +
         join({pieces.begin() + static_cast<std::ptrdiff_t>(end), pieces.end()}, "");
}

}  // namespace vmae::report
