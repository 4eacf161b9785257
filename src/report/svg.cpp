#include "svg.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "utf8.h"
#include "vmae/core/text.h"
#include "vmae/report/table.h"

namespace vmae::report {
namespace {

// In units of the font size, of Arial and DejaVu Sans the wider.
double em(char32_t c) {
  constexpr std::string_view kNarrow = "iljI.,:;'|!()[] ft-r/", kBroad = "mwMW@%";
  if (columns_of(c) == 0) return 0;
  if (columns_of(c) == 2) return 1.1;
  if (c >= 0x80) return c == U'\u2026' ? 1.0 : 0.68;
  const char letter = static_cast<char>(c);
  if (kNarrow.find(letter) != std::string_view::npos) return 0.38;
  if (kBroad.find(letter) != std::string_view::npos) return 0.95;
  return letter >= 'A' && letter <= 'Z' ? 0.7 : 0.6;
}

std::string tag(std::string_view name, std::string_view coordinates, std::string_view attributes) {
  return concat("<", name, " ", coordinates, attributes.empty() ? "" : " ", attributes, "/>\n");
}

}  // namespace

std::string coordinate(double value) {
  if (!std::isfinite(value)) return "0";
  std::array<char, 32> buffer{};
  const double rounded = std::round(std::clamp(value, -1e6, 1e6) * 10) / 10 + 0.0;  // no "-0"
  return {buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), rounded).ptr};
}

double text_width(std::string_view text, double font_size) {
  double sum = 0;
  for (size_t at = 0; at < text.size();) sum += em(next_character(text, at));
  return sum * font_size;
}

std::string cut_in_the_middle(std::string_view text, double room, double font_size) {
  return shortened(
      on_one_line(text), room, [font_size](char32_t c) { return em(c) * font_size; }, Cut::middle);
}

std::vector<std::string> wrapped(std::string_view text, double room, double font_size, size_t most) {
  std::vector<std::string> lines;
  std::string rest = on_one_line(text);
  const auto width_of = [&](char32_t c) { return em(c) * font_size; };
  while (lines.size() + 1 < most && text_width(rest, font_size) > room) {
    size_t end = 0, blank = 0;
    double width = 0;
    while (end < rest.size()) {
      size_t next = end;
      const char32_t c = next_character(rest, next);
      if (width + width_of(c) > room && end > 0) break;
      width += width_of(c);
      if (c == ' ' || c == '_' || c == '-') blank = c == ' ' ? end : next;
      end = next;
    }
    if (end < rest.size() && rest[end] == ' ') blank = end;
    const size_t cut = blank > 0 ? blank : end;
    lines.push_back(rest.substr(0, cut));
    rest = rest.substr(std::min(rest.size(), rest.find_first_not_of(' ', cut)));
  }
  if (!rest.empty() || lines.empty()) lines.push_back(shortened(rest, room, width_of));
  return lines;
}

void Svg::open(std::string_view attributes) { body_ += concat("<g ", attributes, ">\n"); }
void Svg::close() { body_ += "</g>\n"; }

void Svg::rect(double x, double y, double width, double height, std::string_view attributes) {
  const std::string where = concat("x=\"", coordinate(x), "\" y=\"", coordinate(y), "\" width=\"", coordinate(width),
                                   "\" height=\"", coordinate(height), "\"");
  body_ += tag("rect", where, attributes);
}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view attributes) {
  const std::string where = concat("x1=\"", coordinate(x1), "\" y1=\"", coordinate(y1), "\" x2=\"", coordinate(x2),
                                   "\" y2=\"", coordinate(y2), "\"");
  body_ += tag("line", where, attributes);
}

void Svg::path(std::string_view d, std::string_view attributes) {
  if (!d.empty()) body_ += tag("path", concat("d=\"", d, "\""), attributes);
}

void Svg::text(double x, double y, std::string_view text, const TextStyle& style) {
  const std::string whole = on_one_line(text);
  std::string shown = whole, title(style.title);
  if (style.room > 0) {
    shown = shortened(whole, style.room, [&](char32_t c) { return em(c) * style.size; });
    if (shown != whole && title.empty()) title = whole;
  }
  body_ += concat("<text x=\"", coordinate(x), "\" y=\"", coordinate(y), "\"");
  if (style.size != kFont) body_ += concat(" font-size=\"", coordinate(style.size), "\"");
  if (style.anchor != Anchor::start)
    body_ += concat(" text-anchor=\"", style.anchor == Anchor::middle ? "middle" : "end", "\"");
  if (style.color != kInk) body_ += concat(" fill=\"", style.color, "\"");
  if (style.is_bold) body_ += " font-weight=\"600\"";
  if (style.rotation != 0)
    body_ += concat(" transform=\"rotate(", coordinate(style.rotation), " ", coordinate(x), " ", coordinate(y), ")\"");
  body_ += '>';
  if (!title.empty()) body_ += "<title>" + html_text(title) + "</title>";
  body_ += html_text(shown) + "</text>\n";
}

void Svg::clip(double x, double y, double width, double height) {
  const std::string id = concat("figure-clip", ++clips_);
  definitions_ += concat("<clipPath id=\"", id, "\"><rect x=\"", coordinate(x), "\" y=\"", coordinate(y), "\" width=\"",
                         coordinate(width), "\" height=\"", coordinate(height), "\"/></clipPath>\n");
  open(concat("clip-path=\"url(#", id, ")\""));
}

std::string Svg::document(double width, double height, std::string_view title, std::string_view description) const {
  const std::string size = concat("width=\"", coordinate(width), "\" height=\"", coordinate(height), "\"");
  std::string out =
      concat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", coordinate(width), " ", coordinate(height),
             "\" ", size, " role=\"img\" aria-labelledby=\"figure-title\" aria-describedby=\"figure-desc\"");
  out += concat(
      " font-family=\"'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'Noto Sans', 'DejaVu Sans', sans-serif\" "
      "font-size=\"",
      kFont, "\" fill=\"", kInk, "\">\n");
  out += concat("<title id=\"figure-title\">", html_text(title), "</title>\n<desc id=\"figure-desc\">",
                html_text(description), "</desc>\n");
  if (!definitions_.empty()) out += "<defs>\n" + definitions_ + "</defs>\n";
  return out + concat("<rect ", size, " rx=\"8\" fill=\"#ffffff\"/>\n") + body_ + "</svg>\n";
}

}  // namespace vmae::report
