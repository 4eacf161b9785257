#pragma once
// Pieces of SVG. Ids begin with "figure-"; a page replaces that by a prefix of
// its own, so every `="figure-` outside of texts is an id or a reference to one.
#include <string>
#include <string_view>
#include <vector>

namespace vmae::report {

constexpr double kFont = 15, kSmallFont = 13;
inline constexpr const char *kInk = "#1f2328", *kGrey = "#57606a", *kGrid = "#e4e7eb", *kFrame = "#8b949e";

std::string coordinate(double value);                        // one digit after the point at most
double text_width(std::string_view text, double font_size);  // an upper estimate for the usual sans-serif fonts

enum class Anchor { start, middle, end };
struct TextStyle {
  double size = kFont;
  Anchor anchor = Anchor::start;
  const char* color = kInk;
  bool is_bold = false;
  double rotation = 0;          // degrees, around the point
  double room = 0;              // more is shortened, with the whole text as <title>; 0: any
  bool keeps_end = false;       // shortened in the middle
  std::string_view title = {};  // the whole text, of a part
};

std::string cut_in_the_middle(std::string_view text, double room, double font_size);
// Lines of at most `room`, broken at blanks where possible; the last one of `most` is shortened.
std::vector<std::string> wrapped(std::string_view text, double room, double font_size, size_t most);

class Svg {
 public:
  void open(std::string_view attributes);  // <g ...>
  void close();
  void rect(double x, double y, double width, double height, std::string_view attributes);
  void line(double x1, double y1, double x2, double y2, std::string_view attributes);
  void path(std::string_view d, std::string_view attributes);
  void text(double x, double y, std::string_view text, const TextStyle& style);
  void clip(double x, double y, double width, double height);  // what follows, until close()
  // The whole document, on a white card.
  std::string document(double width, double height, std::string_view title, std::string_view description) const;

 private:
  std::string body_, definitions_;
  int clips_ = 0;
};

}  // namespace vmae::report
