// cv::resize on borrowed memory. OpenCV's own threads are switched
// off: samples are prepared by many threads, each busy with its own.
#include "vmae/image/resize.h"

#include <algorithm>
#include <mutex>
#include <opencv2/imgproc.hpp>

namespace vmae::io {

namespace {

void resize_with(int method, const float* from, PixelSize from_size, int64_t channels, float* to, PixelSize to_size) {
  static std::once_flag once;
  std::call_once(once, [] { cv::setNumThreads(1); });
  const int type = CV_32FC(static_cast<int>(channels));
  const auto cv_size = [](PixelSize size) {
    return cv::Size(static_cast<int>(size.width), static_cast<int>(size.height));
  };
  const cv::Mat source(cv_size(from_size), type, const_cast<float*>(from));  // cv::Mat has no view of constant memory
  cv::Mat target(cv_size(to_size), type, to);
  if (from_size == to_size) {
    source.copyTo(target);
    return;
  }
  const PixelSize smaller{std::min(from_size.height, to_size.height), std::min(from_size.width, to_size.width)};
  if (smaller == to_size) {
    cv::resize(source, target, target.size(), 0, 0, cv::INTER_AREA);
  } else if (smaller == from_size) {
    cv::resize(source, target, target.size(), 0, 0, method);
  } else {
    cv::Mat shrunk;
    cv::resize(source, shrunk, cv_size(smaller), 0, 0, cv::INTER_AREA);
    cv::resize(shrunk, target, target.size(), 0, 0, method);
  }
}

}  // namespace

void resize(const float* from, PixelSize from_size, int64_t channels, float* to, PixelSize to_size) {
  resize_with(cv::INTER_LINEAR, from, from_size, channels, to, to_size);
}

void resize_cubic(const float* from, PixelSize from_size, int64_t channels, float* to, PixelSize to_size) {
  resize_with(cv::INTER_CUBIC, from, from_size, channels, to, to_size);
  const auto [low, high] = std::minmax_element(from, from + from_size.height * from_size.width * channels);
  const int64_t n = to_size.height * to_size.width * channels;
  std::transform(to, to + n, to, [low = *low, high = *high](float value) { return std::clamp(value, low, high); });
}

}  // namespace vmae::io
