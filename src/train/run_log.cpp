// A metrics line that can't be written (a full disk) must not end a training of
// days: it is said once, and training goes on until a checkpoint can't be saved.
#include "vmae/train/run_log.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/image/picture.h"

namespace vmae::train {

std::string format_metrics(const Metrics& metrics) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : metrics) {
    char text[64];
    std::snprintf(text, sizeof text, "%s %.4g", name.c_str(), value);
    parts.emplace_back(text);
  }
  return join(parts, ", ");
}

RunLog::RunLog(const RunFolder& folder, int64_t resumed_step, bool validation_is_due)
    : samples_(folder.samples()),
      metrics_([&] {
        truncate_after(folder.metrics(), [&](const std::string& line) {
          const auto json = nlohmann::json::parse(line);
          const int64_t step = json.at("step");
          return step < resumed_step || (step == resumed_step && !(validation_is_due && json.at("kind") == "val"));
        });
        return JsonLines(folder.metrics(), /*append=*/true);
      }()),
      tensorboard_(folder.path()),
      bar_(stderr_is_terminal()) {}

void RunLog::guarded(const char* what, const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    if (!warned_) log::warning(concat(what, " could not be written, training goes on: ", error.what()));
    warned_ = true;
  }
}

void RunLog::write(const char* kind, int64_t step, int64_t epoch, const Metrics& metrics) {
  nlohmann::ordered_json line = {{"kind", kind}, {"step", step}, {"epoch", epoch}};
  for (const auto& [name, value] : metrics) line[name] = value;
  guarded("metrics", [&] {
    metrics_.write(line.dump());
    for (const auto& [name, value] : metrics) tensorboard_.scalar(concat(kind, "/", name), value, step);
  });
}

void RunLog::progress(int64_t epoch, int64_t epochs, int64_t step, int64_t total_steps, double loss,
                      double images_per_s, double wait_share) {
  auto number = [](const char* format, double value) {
    char text[32];
    std::snprintf(text, sizeof text, format, value);
    return std::string(text);
  };
  bar_.update({concat("epoch ", epoch + 1, "/", epochs),
               step,
               total_steps,
               {{"loss", number("%.4f", loss)},
                {"images/s", number("%.1f", images_per_s)},
                {"wait", number("%.0f%%", 100.0 * wait_share)}}});
}

void RunLog::train(int64_t step, int64_t epoch, const Metrics& metrics) {
  write("train", step, epoch, metrics);
  if (!stderr_is_terminal()) log::info(concat("epoch ", epoch + 1, " step ", step, ": ", format_metrics(metrics)));
}

void RunLog::validation(int64_t step, int64_t epoch, const Metrics& metrics, bool is_best) {
  write("val", step, epoch, metrics);
  log::info(concat("epoch ", epoch + 1, " step ", step, ": validation ", format_metrics(metrics),
                   is_best ? " (best so far)" : ""));
}

void RunLog::panel(const std::string& name, const io::Image& panel, int64_t step) {
  guarded("a panel", [&] {
    const std::string png = io::encode_png(panel);
    write_file_atomically(samples_ / (name + ".png"), png);
    tensorboard_.image("samples/" + name.substr(0, name.find('_')), png, panel.height, panel.width, panel.channels,
                       step);
  });
}

void RunLog::finish() {
  bar_.finish();
  guarded("TensorBoard's file", [&] { tensorboard_.flush(); });
}

}  // namespace vmae::train
