#pragma once
// Where the numbers of a run go: metrics.jsonl, TensorBoard, the progress
// bar on a terminal and lines in the log. Written by the first rank only.
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "vmae/image/image.h"
#include "vmae/report/json_lines.h"
#include "vmae/report/progress.h"
#include "vmae/report/tensorboard.h"
#include "vmae/train/run_folder.h"

namespace vmae::train {

using Metrics = std::vector<std::pair<std::string, double>>;  // "loss", "Dice", ...

class RunLog {
 public:
  // resumed_step: lines of later steps are dropped from metrics.jsonl, so that it reads as if nothing had happened;
  // 0 for a new run. validation_is_due: the validation of that step will be made again, so its line is dropped too.
  RunLog(const RunFolder& folder, int64_t resumed_step, bool validation_is_due = false);

  void progress(int64_t epoch, int64_t epochs, int64_t step, int64_t total_steps, double loss, double images_per_s,
                double wait_share);
  // one interval: jsonl, TensorBoard, a log line where there is no terminal
  void train(int64_t step, int64_t epoch, const Metrics& metrics);
  void validation(int64_t step, int64_t epoch, const Metrics& metrics, bool is_best);
  void panel(const std::string& name, const io::Image& panel, int64_t step);  // samples/NAME.png and TensorBoard
  void finish();

 private:
  void write(const char* kind, int64_t step, int64_t epoch, const Metrics& metrics);
  void guarded(const char* what, const std::function<void()>& action);
  std::filesystem::path samples_;
  JsonLines metrics_;
  TensorBoardWriter tensorboard_;
  ProgressBar bar_;
  bool warned_ = false;
};

std::string format_metrics(const Metrics& metrics);  // "loss 0.1234, lr 1e-4"

}  // namespace vmae::train
