#pragma once
// A TensorBoard event file, written without TensorFlow. Tags are such as train/loss, val/Dice.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace vmae {

class AppendFile;

// Every call appends one whole record and throws Error(internal) where
// that fails (a full disk); the file then still ends with a whole record.
class TensorBoardWriter {
 public:
  // new file events.out.tfevents.<unix time>.<host>.<pid>
  explicit TensorBoardWriter(const std::filesystem::path& run_folder);
  ~TensorBoardWriter();

  void scalar(std::string_view tag, double value, int64_t step);  // stored as float
  void image(std::string_view tag, std::string_view png_bytes, int64_t height, int64_t width, int64_t channels,
             int64_t step);
  void text(std::string_view tag, std::string_view markdown, int64_t step);
  void flush();  // to the disk

 private:
  void write_summary(const std::string& value, int64_t step);
  std::unique_ptr<AppendFile> file_;
};

}  // namespace vmae
