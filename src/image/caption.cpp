#include "vmae/image/caption.h"

#include <opencv2/imgproc.hpp>

#include "vmae/core/text.h"

namespace vmae::io {
namespace {

constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX, kThickness = 1;
constexpr double kFontScale = 0.5;

std::string in_ascii(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) out += byte < 0x20 || byte == 0x7f ? ' ' : c;
    if (byte >= 0xc0) out += '?';  // the first byte of a letter in UTF-8; the others begin with the bits 10
  }
  return out;
}

}  // namespace

void write_caption(Image& image, int64_t x, int64_t y, const std::string& text) {
  cv::Mat canvas(static_cast<int>(image.height), static_cast<int>(image.width),
                 CV_32FC(static_cast<int>(image.channels)), image.pixels.data());
  cv::putText(canvas, in_ascii(text), {static_cast<int>(x), static_cast<int>(y)}, kFont, kFontScale, cv::Scalar::all(0),
              kThickness);
}

int64_t caption_width(const std::string& text) {
  return cv::getTextSize(in_ascii(text), kFont, kFontScale, kThickness, /*baseLine=*/nullptr).width;
}

std::string cut_caption(const std::string& text, int64_t width) {
  std::string left = in_ascii(text), right;
  if (caption_width(left) <= width) return left;
  right = left.substr(left.size() / 2);
  left.resize(left.size() / 2);
  while (!left.empty() && caption_width(concat(left, "..", right)) > width) {
    left.pop_back();
    if (left.size() < right.size()) right.erase(0, 1);
  }
  return concat(left, "..", right);
}

}  // namespace vmae::io
