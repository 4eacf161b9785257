#include "vmae/io/caption.h"

#include <opencv2/imgproc.hpp>

namespace vmae::io {
namespace {

constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX, kThickness = 1;
constexpr double kFontScale = 0.5;

}  // namespace

void write_caption(Image& image, int64_t x, int64_t y, const std::string& text) {
  cv::Mat canvas(static_cast<int>(image.height), static_cast<int>(image.width), CV_32FC(static_cast<int>(image.channels)), image.pixels.data());
  cv::putText(canvas, text, {static_cast<int>(x), static_cast<int>(y)}, kFont, kFontScale, cv::Scalar::all(0), kThickness);
}

int64_t caption_width(const std::string& text) { return cv::getTextSize(text, kFont, kFontScale, kThickness, /*baseLine=*/nullptr).width; }

}  // namespace vmae::io
