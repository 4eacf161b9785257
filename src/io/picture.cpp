// Pictures through cv::imdecode. The file is read and its structure checked first (picture_check.h); OpenCV's own messages are silenced.
#include "vmae/io/picture.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "picture_check.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/io/file_name.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& what) { throw Error(ExitCode::data, concat(path.string(), " ", what)); }

void silence_opencv() {
  static std::once_flag once;
  std::call_once(once, [] {
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    cv::redirectError([](int, const char*, const char*, const char*, int, void*) { return 0; });
  });
}

double largest_stored(int depth, const fs::path& path) {
  switch (depth) {
    case CV_8U:
      return 255.0;
    case CV_16U:
      return 65535.0;
    case CV_32F:
    case CV_64F:
      return 0.0;
    default:
      fail(path, "has a pixel type that is not supported; 8 and 16 bit unsigned and floats are read");
  }
}

}  // namespace

bool is_picture(const fs::path& path) { return kind_of(path) == FileKind::picture; }

Image read_picture(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) fail(path, "does not exist");
  if (!fs::is_regular_file(path, ignored)) fail(path, "is not a file");
  std::string bytes = read_file(path);
  if (const std::string problem = check_picture(bytes); !problem.empty()) fail(path, problem);

  silence_opencv();
  cv::Mat decoded;
  try {
    // Not IMREAD_UNCHANGED, which would ignore the EXIF orientation: these flags keep depth and colour, apply the orientation and drop alpha.
    const cv::Mat buffer(1, static_cast<int>(bytes.size()), CV_8U, bytes.data());
    decoded = cv::imdecode(buffer, cv::IMREAD_ANYDEPTH | cv::IMREAD_ANYCOLOR);
  } catch (const cv::Exception& error) {
    fail(path, "can't be decoded: " + error.err);
  }
  if (decoded.empty()) fail(path, "can't be decoded: it is damaged, or of a kind that OpenCV does not read");

  Image image;
  image.stored_max = largest_stored(decoded.depth(), path);
  image.height = decoded.rows;
  image.width = decoded.cols;
  image.channels = decoded.channels();
  image.pixels.resize(static_cast<size_t>(image.height * image.width * image.channels));
  cv::Mat pixels(decoded.rows, decoded.cols, CV_32FC(decoded.channels()), image.pixels.data());
  decoded.convertTo(pixels, CV_32F);
  if (image.channels == 3) cv::cvtColor(pixels, pixels, cv::COLOR_BGR2RGB);
  return image;
}

std::string encode_png(const Image& image) {
  if (image.channels != 1 && image.channels != 3)
    throw Error(ExitCode::internal, concat("encode_png: an image of ", image.channels, " channels; 1 or 3 are written"));
  const int channels = static_cast<int>(image.channels);
  cv::Mat bytes(static_cast<int>(image.height), static_cast<int>(image.width), CV_8UC(channels));
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    const float value = std::isnan(image.pixels[i]) ? 0.0F : std::clamp(image.pixels[i], 0.0F, 255.0F);
    bytes.data[channels == 3 ? i - i % 3 + (2 - i % 3) : i] = static_cast<unsigned char>(std::lround(value));  // OpenCV's order is BGR
  }
  std::vector<unsigned char> encoded;
  cv::imencode(".png", bytes, encoded, {cv::IMWRITE_PNG_COMPRESSION, 6});  // a quarter of the size of the default, which is made for speed
  return {encoded.begin(), encoded.end()};
}

}  // namespace vmae::io
