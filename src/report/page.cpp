#include "vmae/report/page.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "page_style.h"
#include "table_html.h"
#include "vmae/core/text.h"

namespace vmae::report {
namespace {

std::string base64(std::string_view bytes) {  // RFC 4648
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t three = 0;
    for (size_t k = 0; k < 3; ++k)
      three = three << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : kDigits[three >> (18 - 6 * k) & 63U];
  }
  return out;
}

// " width=.. height=..", by which a browser keeps the place free; "" of what is no PNG.
std::string size_attributes(std::string_view png) {
  if (png.size() < 24 || png.substr(12, 4) != "IHDR") return "";
  const auto integer = [&](size_t at) {
    uint32_t value = 0;
    for (size_t k = 0; k < 4; ++k) value = value << 8 | static_cast<unsigned char>(png[at + k]);
    return value;
  };
  return concat(" width=\"", integer(16), "\" height=\"", integer(20), "\"");
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

std::string paragraph(std::string_view text, std::string_view attributes = "") {
  return text.empty() ? "" : concat("<p", attributes, ">", html_text(text), "</p>\n");
}

class Writer {
 public:
  std::string table(const Table& table) {
    const std::string label = concat("Table ", ++tables_);
    // What scrolls must be reachable by keyboard, and then needs a name.
    std::string out =
        concat("<div class=\"table\">\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"", label,
               ", scrollable\">\n");
    out += to_html(table, label) + "</div>\n";
    return out + notes_html(table) + "</div>\n";
  }

  // Ids become unique: of texts, quotes are escaped, so these patterns are only where the figure has ids.
  std::string figure(const Figure& figure) {
    const std::string id = concat("figure", ++figures_, "-");
    std::string svg = replaced(figure.svg, "=\"figure-", "=\"" + id);
    svg = replaced(svg, "=\"url(#figure-", "=\"url(#" + id);
    constexpr double kWide = 700, kHalf = 540, kSmallest = 0.65;
    const double width = width_of(svg);
    const char* size = width >= kHalf ? " class=\"wide medium\"" : "";
    if (width > kWide) size = " class=\"wide\"";
    std::string out = concat("<figure", size, ">\n<div class=\"card\"");
    if (width > 0) out += concat(" style=\"max-width:", std::lround((width >= kHalf ? 1.35 : 1.15) * width), "px\"");
    out += ">\n";
    // So wide that a phone would make its texts unreadable: it scrolls.
    const bool scrolls = width > kWide && svg.starts_with("<svg ");
    out += scrolls ? concat("<svg style=\"min-width:", std::lround(kSmallest * width), "px\"", svg.substr(4)) : svg;
    return out + "</div>\n" + caption(concat("Figure ", figures_), figure.title) + "</figure>\n";
  }

  static std::string picture(const Picture& picture) {
    return concat("<figure>\n<img src=\"data:image/png;base64,", base64(picture.png), "\" alt=\"",
                  html_text(picture.alternative_text), "\"", size_attributes(picture.png), ">\n",
                  picture.caption.empty() ? "" : "<figcaption>" + html_text(picture.caption) + "</figcaption>\n",
                  "</figure>\n");
  }

  static std::string legend(const std::vector<std::pair<std::string, std::string>>& entries) {
    if (entries.empty()) return "";
    std::string out = "<ul class=\"legend\" aria-label=\"Colours\">\n";
    for (const auto& [name, color] : entries)
      out += concat("<li><span class=\"swatch\" style=\"color:", html_text(color), "\"></span>", html_text(name),
                    "</li>\n");
    return out + "</ul>\n";
  }

  static std::string row(const PictureRow& row) {
    std::string out = concat("<figure class=\"row\">\n<figcaption>", html_text(row.caption), "</figcaption>\n<div>\n");
    for (const Picture& one : row.pictures) out += picture(one);
    return out + "</div>\n</figure>\n";
  }

  static std::string listing(const std::string& title, const std::string& text) {
    const auto lines = std::count(text.begin(), text.end(), '\n') + (text.empty() || text.ends_with('\n') ? 0 : 1);
    return concat("<details>\n<summary>", html_text(title), " <span>(", lines, lines == 1 ? " line" : " lines",
                  ")</span></summary>\n<pre tabindex=\"0\"><code>", html_text(text), "</code></pre>\n</details>\n");
  }

 private:
  static std::string caption(const std::string& label, const std::string& text) {
    return concat("<figcaption><span class=\"label\">", label, ".</span> ", html_text(text), "</figcaption>\n");
  }

  static double width_of(const std::string& svg) {
    constexpr std::string_view kStart = "viewBox=\"0 0 ";
    const size_t at = svg.find(kStart);
    if (at == std::string::npos) return 0;
    const size_t begin = at + kStart.size();
    return parse_number(std::string_view(svg).substr(begin, svg.find(' ', begin) - begin)).value_or(0);
  }

  int tables_ = 0, figures_ = 0;
};

std::string section_html(const Section& section, size_t index, Writer& writer) {
  std::string out =
      concat("<section id=\"section-", index, "\"", !section.listings.empty() && index > 1 ? " class=\"new-page\"" : "",
             " aria-labelledby=\"title-", index, "\">\n");
  out += concat("<h2 id=\"title-", index, "\"><span class=\"index\">", index, "</span>", html_text(section.title),
                "</h2>\n");
  for (const std::string& text : section.paragraphs) out += paragraph(text);
  for (const Table& table : section.tables) out += writer.table(table);
  if (!section.figures.empty()) out += "<div class=\"figures\">\n";
  for (const Figure& figure : section.figures) out += writer.figure(figure);
  if (!section.figures.empty()) out += "</div>\n";
  out += Writer::legend(section.legend);
  for (const PictureRow& row : section.rows) out += Writer::row(row);
  if (!section.pictures.empty()) out += "<div class=\"pictures\">\n";
  for (const Picture& picture : section.pictures) out += Writer::picture(picture);
  if (!section.pictures.empty()) out += "</div>\n";
  for (const auto& [title, text] : section.listings) out += Writer::listing(title, text);
  return out + "</section>\n";
}

std::string head(const std::string& title) {
  return concat(R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>)",
                html_text(title), "</title>\n<style>\n", page_style(), "\n</style>\n</head>\n");
}

}  // namespace

std::string to_html(const Page& page) {
  std::string out =
      head(page.title) + "<body>\n<a class=\"skip\" href=\"#content\">Skip to the content</a>\n<header>\n";
  out += "<h1>" + html_text(page.title) + "</h1>\n" + paragraph(page.summary, " class=\"summary\"");
  if (!page.facts.empty()) out += "<dl class=\"facts\">\n";
  for (const auto& [name, text] : page.facts)
    out += "<div><dt>" + html_text(name) + "</dt><dd>" + html_text(text) + "</dd></div>\n";
  if (!page.facts.empty()) out += "</dl>\n";
  out += "</header>\n";
  if (!page.sections.empty()) {
    out += "<nav aria-labelledby=\"contents\">\n<h2 id=\"contents\">Contents</h2>\n<ol>\n";
    for (size_t i = 0; i < page.sections.size(); ++i)
      out += concat("<li><a href=\"#section-", i + 1, "\">", html_text(page.sections[i].title), "</a></li>\n");
    out += "</ol>\n</nav>\n";
  }
  out += "<main id=\"content\" tabindex=\"-1\">\n";
  Writer writer;
  for (size_t i = 0; i < page.sections.size(); ++i) out += section_html(page.sections[i], i + 1, writer);
  out += "</main>\n";
  if (!page.footer.empty()) out += "<footer>\n" + paragraph(page.footer) + "</footer>\n";
  return out + "</body>\n</html>\n";
}

}  // namespace vmae::report
