// `vmae inspect` of a run folder: what was trained on what, how it differs
// from the defaults, how it went, on which machine, and how to go on.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "kinds.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/json_text.h"
#include "vmae/core/log.h"
#include "vmae/core/text.h"
#include "vmae/runs/finetune_options.h"
#include "vmae/runs/pretrain_options.h"
#include "vmae/weights/stored.h"

namespace vmae::run {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

// Of a file that may be missing, cut off or of another version: then null.
Json read_json(const fs::path& file) {
  std::error_code problem;
  if (!fs::is_regular_file(file, problem)) return {};
  const std::string text = read_file(file);
  if (is_deep_json(text)) return {};
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : Json();
}

template <class T>
T value_of(const Json& json, const char* key, const T& otherwise) {
  if (!json.is_object() || !json.contains(key)) return otherwise;
  const Json& value = json[key];
  if constexpr (std::is_same_v<T, std::string>) return value.is_string() ? value.get<std::string>() : otherwise;
  if constexpr (!std::is_same_v<T, std::string>) return value.is_number() ? value.get<T>() : otherwise;
}

// Locked by a process of this machine: Linux lists it. Trying
// the lock could make a start fail that comes at this moment.
bool is_locked(const fs::path& file) {
  struct stat status {};
  if (stat(file.c_str(), &status) != 0) return false;
  std::ifstream locks("/proc/locks");
  char wanted[64];
  std::snprintf(wanted, sizeof wanted, "%02x:%02x:%llu", major(status.st_dev), minor(status.st_dev),
                static_cast<unsigned long long>(status.st_ino));
  for (std::string line; std::getline(locks, line);) {
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      if (word == wanted) return true;
    }
  }
  return false;
}

struct Known {
  Json json;  // command, recipe, epochs, ..., and what differs from the defaults
  int64_t epochs = 0, max_steps = 0, early_stop = 0;
};

template <class Config>
Known known_of(Config config, Config defaults, const char* command, const std::string& yaml) {
  Options options, own;
  describe(options, config);
  read_config_text(yaml, "config.yaml", options);
  Known known{{{"command", command}, {"model", config.model.name}},
              config.train.epochs,
              config.train.max_steps,
              config.train.early_stop};
  if constexpr (!std::is_same_v<Config, PretrainConfig>) {
    Config said = config;
    said.train.epochs = 0;
    defaults = defaults_for(said);
    known.json["recipe"] = config.recipe;
  }
  known.json["sources"] = config.data.train;
  describe(own, defaults);
  known.json["differs"] = Json::object();
  for (size_t i = 0; i < options.all().size(); ++i) {
    const Option &is = options.all()[i], &was = own.all()[i];
    if (is.key == "run.dir" || is.key == "data.train" || is.key == "recipe" || is.get() == was.get()) continue;
    known.json["differs"][is.key] = {{"value", is.get()}, {"default", was.get()}};
  }
  return known;
}

// Whose config it is shows in its keys. Nothing: of another version, or damaged.
std::optional<Known> read_config(const fs::path& file) {
  std::error_code problem;
  if (!fs::is_regular_file(file, problem)) return std::nullopt;
  const std::string yaml = read_file(file);
  const auto attempt = [&](const auto& read) -> std::optional<Known> {
    try {
      return read();
    } catch (const Error& error) {
      log::debug(error.what());  // another command's, or another version's
      return std::nullopt;
    }
  };
  if (auto known = attempt([&] { return known_of(PretrainConfig{}, PretrainConfig{}, "pretrain", yaml); }))
    return known;
  if (auto known = attempt([&] { return known_of(SegmentConfig{}, SegmentConfig{}, "finetune-seg", yaml); }))
    return known;
  return attempt([&] { return known_of(ClassifyConfig{}, ClassifyConfig{}, "finetune-cls", yaml); });
}

std::string state_name(const Json& state, const Known& known, const fs::path& folder) {
  if (is_locked(folder / ".lock")) return "running";
  if (!state.is_object()) return "no checkpoint";
  const auto number = [&](const char* key) { return value_of<int64_t>(state, key, -1); };
  const bool is_between = number("epoch_to_end") < 0 && number("sample") == 0;
  if (known.max_steps > 0 && number("step") >= known.max_steps && number("epoch_to_end") < 0) return "finished";
  if (is_between && number("epoch") >= known.epochs) return "finished";
  if (is_between && known.early_stop > 0 && number("best_epoch") >= 0 &&
      number("epoch") - 1 - number("best_epoch") >= known.early_stop)
    return "stopped early";
  return "unfinished";
}

struct Line {
  int64_t step = 0, epoch = 0;
  std::vector<std::pair<std::string, double>> metrics;
};

// Of metrics.jsonl; what is no line of it is passed over.
void read_metrics(const fs::path& file, std::vector<Line>& train, std::vector<Line>& val) {
  std::ifstream stream(file);
  for (std::string text; std::getline(stream, text);) {
    if (is_deep_json(text)) continue;
    const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) continue;
    Line line{value_of<int64_t>(json, "step", 0), value_of<int64_t>(json, "epoch", 0), {}};
    for (const auto& [key, value] : json.items()) {
      if (key != "step" && key != "epoch" && value.is_number()) line.metrics.emplace_back(key, value.get<double>());
    }
    if (line.metrics.empty()) continue;
    (value_of<std::string>(json, "kind", "") == "val" ? val : train).push_back(std::move(line));
  }
}

std::optional<double> metric_of(const Line& line, const std::string& name) {
  for (const auto& [key, value] : line.metrics) {
    if (key == name) return value;
  }
  return std::nullopt;
}

Json curve_of(const std::vector<Line>& lines, const std::string& metric) {
  Json json = {{"metric", metric}, {"values", Json::array()}};
  for (const Line& line : lines) {
    if (const auto value = metric_of(line, metric)) json["values"].push_back(*value);
  }
  return json;
}

// The validation that decided, as Trainer::validate() decides it.
Json validation_of(const std::vector<Line>& val, const Json& state) {
  if (val.empty()) return {};
  const std::string metric = val.back().metrics.front().first;
  Json json = curve_of(val, metric);
  const bool lower = metric == "loss";
  const int64_t best_epoch = value_of<int64_t>(state, "best_epoch", -1);
  const Line* best = nullptr;
  for (const Line& line : val) {
    const auto value = metric_of(line, metric);
    if (!value) continue;
    const double before = best == nullptr ? 0 : *metric_of(*best, metric);
    if (best == nullptr || (lower ? *value < before : *value > before)) best = &line;
    if (line.epoch == best_epoch && value_of<std::string>(state, "best_metric", metric) == metric) {
      best = &line;
      break;
    }
  }
  if (best == nullptr) return json;
  json["best"] = {{"epoch", best->epoch + 1}, {"step", best->step}};
  for (const auto& [key, value] : best->metrics) json["best"][key] = value;
  return json;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Days and minutes of the world's clock.
std::string time_text(const fs::path& file) {
  struct stat status {};
  if (stat(file.c_str(), &status) != 0) return "";
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", std::gmtime(&status.st_mtime));
  return text;
}

Json predictions_of(const fs::path& folder) {
  Json json = Json::object();
  for (const char* part : {"test", "external_test"}) {
    const Json record = read_json(folder / part / "predict.json");
    if (!record.is_object()) continue;
    json[part] = {{"cases", value_of<int64_t>(record, "cases", 0)},
                  {"failed", record.contains("failed") && record["failed"].is_array() ? record["failed"].size() : 0}};
  }
  return json;
}

// As many columns as there are values, at most `columns`: the mean of what falls together.
std::string sparkline(const std::vector<double>& values, size_t columns) {
  static constexpr const char* kLevels[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::vector<double> shown;
  const size_t count = std::min(columns, values.size());
  for (size_t i = 0; i < count; ++i) {
    const size_t begin = i * values.size() / count, end = (i + 1) * values.size() / count;
    double sum = 0;
    for (size_t k = begin; k < end; ++k) sum += values[k];
    shown.push_back(sum / static_cast<double>(end - begin));
  }
  if (shown.empty()) return "";
  const auto [low, high] = std::minmax_element(shown.begin(), shown.end());
  std::string text;
  for (const double value : shown) {
    const double share = *high > *low ? (value - *low) / (*high - *low) : 0.5;
    text += kLevels[static_cast<size_t>(std::clamp(share * 8, 0.0, 7.0))];
  }
  return text;
}

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

// "  label      text", broken between items where a line would be too long.
std::string block(const std::string& label, const std::vector<std::string>& items, const std::string& between = ", ") {
  constexpr size_t kIndent = 12, kColumns = 110;
  std::string text = "\n  " + label + std::string(kIndent - 2 - label.size(), ' ');
  size_t column = kIndent;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) {
      text += between;
      column += between.size();
    }
    if (i > 0 && column + items[i].size() > kColumns) {
      while (text.back() == ' ') text.pop_back();
      text += "\n" + std::string(kIndent, ' ');
      column = kIndent;
    }
    text += items[i];
    column += items[i].size();
  }
  return text;
}

// Trained as its authors do, whatever the recipe; its last weights are the result, not the best.
bool is_nnunet(const Json& run) {
  return run.contains("differs") && run["differs"].contains("model.name") &&
         run["differs"]["model.name"]["value"] == "nnunet";
}

void add_data_text(const Json& run, std::string& text) {
  std::vector<std::string> parts;
  if (run.contains("data") && run["data"].contains("parts")) {
    for (const Json& part : run["data"]["parts"]) {
      std::vector<std::string> counts;
      if (part.contains("images") && part["images"].is_number() && !is_nnunet(run))
        counts.push_back(count_text(part["images"], "image"));
      if (part.contains("cases") && part["cases"].is_number()) counts.push_back(count_text(part["cases"], "case"));
      if (part.contains("patients") && part["patients"].is_number())
        counts.push_back(count_text(part["patients"], "patient"));
      parts.push_back(concat(value_of<std::string>(part, "part", "?"), " ", join(counts, " of ")));
    }
  }
  if (!parts.empty()) text += block("data", parts, "; ");
  for (const char* key : {"classes", "findings"}) {
    if (!run.contains("data") || !run["data"].contains(key)) continue;
    std::vector<std::string> names;
    for (const Json& name : run["data"][key]) names.push_back(name.is_string() ? name.get<std::string>() : name.dump());
    text += block(key, names);
  }
  if (run.contains("sources") && !run["sources"].empty())
    text += block("from", run["sources"].get<std::vector<std::string>>());
}

void add_recipe_text(const Json& run, std::string& text) {
  if (!run.contains("differs")) return;
  std::vector<std::string> items;
  for (const auto& [key, one] : run["differs"].items()) {
    const std::string value = one["value"], otherwise = one["default"];
    items.push_back(
        concat(key, "=", value,
               otherwise.empty() || otherwise == "\"\"" || otherwise == "[]" ? "" : concat(" (", otherwise, ")")));
  }
  if (items.empty()) items.emplace_back("the defaults");
  text += block("recipe", items);
}

void add_curve_text(const Json& run, std::string& text) {
  constexpr size_t kColumns = 40;
  const auto line = [&](const Json& curve, const std::string& what) {
    const std::vector<double> values = curve["values"].get<std::vector<double>>();
    if (values.empty()) return;
    text += block(what, {concat(sparkline(values, kColumns), "  ", short_number(values.front()), " to ",
                                short_number(values.back()))});
  };
  if (run.contains("training_loss")) line(run["training_loss"], "loss");
  if (!run.contains("validation")) return;
  const Json& validation = run["validation"];
  const std::string metric = validation["metric"];
  line(validation, metric == "loss" ? "val loss" : metric);
  if (!validation.contains("best") || is_nnunet(run)) return;
  std::vector<std::string> others;
  for (const auto& [key, value] : validation["best"].items()) {
    if (key != "epoch" && key != "step" && key != metric) others.push_back(key + " " + short_number(value));
  }
  std::vector<std::string> items{concat(metric, " ", short_number(validation["best"][metric]), " in epoch ",
                                        validation["best"]["epoch"].get<int64_t>(), ", step ",
                                        validation["best"]["step"].get<int64_t>(), others.empty() ? "" : ":")};
  items.insert(items.end(), others.begin(), others.end());
  text += block("best", {items.front()});
  for (size_t i = 1; i < items.size(); ++i) text += (i == 1 ? " " : ", ") + items[i];
}

std::string head_text(const Json& run, const std::string& path) {
  const std::string state = run["state"];
  std::string text = path + ": ";
  if (run.contains("command")) text += run["command"].get<std::string>() + ", ";
  if (run.contains("recipe") && !is_nnunet(run)) text += "recipe " + run["recipe"].get<std::string>() + ", ";
  text +=
      state == "no checkpoint" ? "no checkpoint: a start that failed, or has just begun (train.log says more)" : state;
  if (!run.contains("step")) return text;
  const bool ends_by_steps = run.contains("max_steps") && (state != "finished" || run["step"] >= run["max_steps"]);
  if (ends_by_steps)
    return text + concat(": step ", run["step"].get<int64_t>(), " of ", run["max_steps"].get<int64_t>());
  text += concat(": ", run["epochs_done"].get<int64_t>());
  if (run.contains("epochs")) text += concat(" of ", run["epochs"].get<int64_t>());
  return text + concat(" epochs, step ", run["step"].get<int64_t>());
}

}  // namespace

std::string run_json(const fs::path& folder) {
  Json json = Json::object();
  const std::optional<Known> known = read_config(folder / "config.yaml");
  if (known) json.update(known->json);
  const fs::path last = folder / "checkpoints" / "last.safetensors";
  Json state;
  std::error_code problem;
  if (fs::is_regular_file(last, problem)) {
    const weights::StoredWeights file = weights::read_stored(last);
    if (const auto found = file.metadata.find("state"); found != file.metadata.end() && !is_deep_json(found->second))
      state = Json::parse(found->second, nullptr, /*allow_exceptions=*/false);
  }
  json["state"] = state_name(state, known.value_or(Known{}), folder);
  if (state.is_object()) {
    json["step"] = value_of<int64_t>(state, "step", 0);
    json["epochs_done"] = value_of<int64_t>(state, "epoch", 0);
  }
  if (known) json["epochs"] = known->epochs;
  if (known && known->max_steps > 0) json["max_steps"] = known->max_steps;
  const Json env = read_json(folder / "env.json");
  if (known && json["state"] != "finished" && json["state"] != "stopped early" && json["state"] != "running")
    json["continue"] = concat("vmae ", known->json["command"].get<std::string>(), " --config ",
                              shell_word((folder / "config.yaml").string()), state.is_object() ? " --resume" : "");
  if (env.contains("command_line")) json["command_line"] = env["command_line"];

  const Json card = read_json(folder / "data_card" / "card.json");
  for (const char* key : {"parts", "classes", "findings"}) {
    if (!card.contains(key) || !card[key].is_array()) continue;
    json["data"][key] = card[key];
  }
  std::vector<Line> train, val;
  read_metrics(folder / "metrics.jsonl", train, val);
  if (!train.empty()) json["training_loss"] = curve_of(train, "loss");
  if (Json validation = validation_of(val, state); validation.is_object()) json["validation"] = validation;
  for (const char* key : {"host", "cpu", "threads", "gpus", "device", "precision", "vmae_version", "time"}) {
    if (env.contains(key)) json["machine"][key] = env[key];
  }
  std::vector<double> rates;
  for (const Line& line : train) {
    if (const auto rate = metric_of(line, "images_per_s")) rates.push_back(*rate);
  }
  if (state.is_object()) json["trained_s"] = value_of<double>(state, "trained_s", 0);
  if (!rates.empty()) json["images_per_s"] = median(rates);
  if (const std::string time = time_text(last); !time.empty()) json["last_checkpoint"] = time;
  json["predictions"] = predictions_of(folder);
  json["has_report"] = fs::is_regular_file(folder / "eval" / "report.html", problem);
  return json_text(json);
}

std::string run_text(const std::string& json, const fs::path& folder) {
  const Json run = Json::parse(json);
  const std::string state = run["state"];
  std::string text = head_text(run, folder.string());
  add_data_text(run, text);
  add_recipe_text(run, text);
  add_curve_text(run, text);
  if (run.contains("machine")) {
    const Json& machine = run["machine"];
    std::vector<std::string> items;
    for (const char* key : {"host", "cpu"}) {
      if (const std::string value = value_of<std::string>(machine, key, ""); !value.empty()) items.push_back(value);
    }
    if (machine.contains("threads")) items.push_back(count_text(value_of<int64_t>(machine, "threads", 0), "thread"));
    items.push_back(concat(value_of<std::string>(machine, "precision", "?"), " on ",
                           value_of<std::string>(machine, "device", "?")));
    text += block("machine", items);
  }
  std::vector<std::string> time;
  if (run.contains("trained_s")) time.push_back(human_seconds(run["trained_s"]) + " of training");
  if (run.contains("images_per_s")) time.push_back(short_number(run["images_per_s"]) + " images/s");
  if (run.contains("last_checkpoint")) time.push_back("last checkpoint " + run["last_checkpoint"].get<std::string>());
  if (!time.empty()) text += block("time", time);
  std::vector<std::string> results;
  for (const auto& [part, one] : run["predictions"].items()) {
    const auto failed = one["failed"].get<int64_t>();
    results.push_back(concat(part, " (", count_text(one["cases"], "case"), " predicted",
                             failed > 0 ? concat(", ", failed, " left out") : "", ")"));
  }
  if (run["has_report"]) results.push_back((folder / "eval" / "report.html").string());
  if (!results.empty()) text += block("results", results);
  if (run.contains("continue"))
    text += block(
        run.contains("step") ? "go on" : "begin",
        {concat(run["continue"].get<std::string>(), state == "unfinished" ? " (if it is not running elsewhere)" : "")});
  return text;
}

}  // namespace vmae::run
