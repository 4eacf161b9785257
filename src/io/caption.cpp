#include "vmae/io/caption.h"

#include <opencv2/imgproc.hpp>

namespace vmae::io {

void write_caption(Image& image, int64_t x, int64_t y, const std::string& text) {
  cv::Mat canvas(static_cast<int>(image.height), static_cast<int>(image.width), CV_32FC(static_cast<int>(image.channels)), image.pixels.data());
  cv::putText(canvas, text, {static_cast<int>(x), static_cast<int>(y)}, cv::FONT_HERSHEY_SIMPLEX, /*fontScale=*/0.5, cv::Scalar::all(0), /*thickness=*/1);
}

}  // namespace vmae::io
