// Case after case: while one is predicted, the next is read. A case that fails is named at the end and stops nothing.
#include "vmae/predict/predict.h"

#include <ATen/ops/argmax.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "input.h"
#include "journal.h"
#include "output.h"
#include "slice_predictor.h"
#include "vmae/cases/channels.h"
#include "vmae/cases/read_image.h"
#include "vmae/cases/time_points.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/log.h"
#include "vmae/core/signals.h"
#include "vmae/core/version.h"
#include "vmae/data/modality.h"
#include "vmae/image/components.h"
#include "vmae/predict/pool.h"
#include "vmae/prepare/names_table.h"
#include "vmae/prepared/prepared.h"
#include "vmae/report/progress.h"
#include "vmae/report/table.h"
#include "vmae/runs/modality.h"
#include "vmae/runs/run_record.h"
#include "vmae/runs/source_notes.h"
#include "vmae/sources/case_names.h"
#include "vmae/sources/class_names.h"
#include "vmae/train/device.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

// A run of folds is all of its folds.
std::vector<fs::path> weight_files(const std::vector<fs::path>& given) {
  std::vector<fs::path> files;
  for (const fs::path& path : given) {
    if (!is_run(path)) {
      files.push_back(find_weights(path));
      continue;
    }
    for (const fs::path& run : open_run_record(path).folders) files.push_back(find_weights(run));
  }
  return files;
}

std::vector<std::string> given_names(const std::vector<io::SourceFile>& cases, const std::map<std::string, std::string>& name_of) {
  std::vector<std::string> names;
  for (const io::SourceFile& file : cases) {
    const auto found = name_of.find(file.name);
    if (found == name_of.end()) throw Error(ExitCode::data, concat("case ", file.name, " has no name"), "give the names of the whole dataset");
    names.push_back(found->second);
  }
  return names;
}

// Case "a" of class "b_c" and case "a_b" of class "c" would write the same file; names that differ by case only do so on some file systems.
void check_outputs(const std::vector<std::string>& names, const ModelCard& card, const PredictOptions& options) {
  std::map<std::string, std::string> alike, probabilities;
  for (const std::string& name : names) {
    const auto [first, is_new] = alike.emplace(to_lower(name), name);
    if (!is_new)
      log::warning(concat("the predictions of ", first->second, " and ", name,
                          " differ by the case of letters only: where a file system does not tell these apart, one overwrites the other"));
  }
  const auto in_overlays = std::find_if(names.begin(), names.end(), [](const std::string& name) { return to_lower(name).starts_with("overlays/"); });
  if (options.overlays && in_overlays != names.end())
    throw Error(ExitCode::data, concat("the prediction of ", *in_overlays, " would lie among the overlays"),
                "predict without --overlays, or rename that folder");
  if (!options.probabilities) return;
  const std::vector<std::string> class_names = class_file_names(card.class_names);
  for (const std::string& name : names) {
    for (const std::string& class_name : class_names) {
      const auto [first, is_new] = probabilities.emplace(concat(name, '_', class_name), name);
      if (!is_new)
        throw Error(ExitCode::data, concat("the probabilities of ", first->second, " and ", name, " would have the same name, ", first->first),
                    "predict them into different folders, or without --probabilities");
    }
  }
}

void make_output_folder(const fs::path& output) {
  std::error_code problem;
  fs::create_directories(output, problem);
  if (!problem && access(output.c_str(), W_OK) != 0) problem = std::error_code(errno, std::generic_category());
  if (problem)
    throw Error(ExitCode::usage, concat("--output ", output.string(), " can't be written to: ", problem.message()), "choose a folder that you may write to");
}

// Values of slices (rows, columns) at their places in a volume that is x fastest.
template <class T>
void scatter(const at::Tensor& slices, int64_t first, const data::Case& one, std::vector<T>& volume) {
  const auto& size = one.volume.size;
  const T* from = slices.const_data_ptr<T>();
  const int64_t rows = slices.size(1), columns = slices.size(2);
  for (int64_t i = first; i < first + slices.size(0); ++i) {
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < columns; ++column) {
        const int64_t x = one.axis == 0 ? i : column, y = one.axis == 1 ? i : one.axis == 0 ? column : row, z = one.axis == 2 ? i : row;
        volume[static_cast<size_t>(x + size[0] * (y + size[1] * z))] = *from++;
      }
    }
  }
}

std::string probability_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.7g", value);
  return text;
}

// Where the probabilities of a case's slices go as they come, and what is written when all are there.
class Result {
 public:
  Result(const io::SourceFile& file, const data::Case& one, std::string name, const ModelCard& card, const PredictOptions& options)
      : file_(file),
        case_(one),
        name_(std::move(name)),
        card_(card),
        options_(options),
        voxels_(static_cast<size_t>(one.volume.num_values() / one.volume.channels)) {}

  // Segmentation: (n, classes, h, w) of slices first, first + 1, ...; classification: (n, classes).
  void add(int64_t first, const at::Tensor& p) {
    if (p.dim() == 2) return add_scores(first, p.to(at::kDouble).contiguous());
    labels_.resize(voxels_);
    scatter(at::argmax(p, 1).to(at::kByte).contiguous(), first, case_, labels_);
    probabilities_.resize(options_.probabilities ? card_.class_names.size() : 0);
    for (size_t k = 0; k < probabilities_.size(); ++k) {
      probabilities_[k].resize(voxels_);
      scatter(p.select(1, static_cast<int64_t>(k) + 1).contiguous(), first, case_, probabilities_[k]);
    }
  }

  PredictedCase write(const fs::path& output) {
    PredictedCase done;
    if (labels_.empty()) {
      add_row(done.cases_row, {name_, std::to_string(pool_.num_slices())}, pool_.result(card_.is_multi_label));
      done.slices_rows = rows_;
      return done;
    }
    const auto wrote = [&](const fs::path& file) { done.files.push_back(file.lexically_relative(output).string()); };
    if (options_.largest_component) io::keep_largest_components(labels_, case_.volume.size);
    wrote(write_labels(output / name_, file_, case_, labels_, card_));
    const std::vector<std::string> class_names = class_file_names(card_.class_names);
    for (size_t k = 0; k < probabilities_.size(); ++k)
      wrote(write_probabilities(output / "probabilities" / (name_ + "_" + class_names[k]), file_, case_, probabilities_[k]));
    if (options_.overlays) wrote(write_overlay(output / "overlays" / name_, case_, labels_, card_));
    return done;
  }

 private:
  void add_scores(int64_t first, const at::Tensor& scores) {
    for (int64_t i = 0; i < scores.size(0); ++i) {
      const double* row = scores.const_data_ptr<double>() + i * scores.size(1);
      const std::vector<double> values(row, row + scores.size(1));
      pool_.add(values, options_.pool.empty() ? card_.pool : options_.pool);
      add_row(rows_, {name_, std::to_string(first + i)}, values);
    }
  }
  static void add_row(std::string& table, std::vector<std::string> fields, const std::vector<double>& values) {
    for (const double value : values) fields.push_back(probability_text(value));
    table += report::csv_line(fields);
  }

  const io::SourceFile& file_;
  const data::Case& case_;
  std::string name_;
  const ModelCard& card_;
  const PredictOptions& options_;
  size_t voxels_;
  std::vector<uint8_t> labels_;
  std::vector<std::vector<float>> probabilities_;
  CasePool pool_;
  std::string rows_;
};

// All that decides what is written: what is there of a prediction with the same plan is there.
PredictPlan plan_of(const SlicePredictor& predictor, const std::vector<fs::path>& weights, const PredictOptions& options, at::Device device,
                    train::Precision precision, const std::vector<io::SourceFile>& cases, const std::vector<std::string>& names) {
  const auto yes_or_no = [](bool value) { return value ? "yes" : "no"; };
  PredictPlan plan = {{"vmae", concat(version(), " (", git_revision(), ")")},
                      {"input", content_of(cases, names)},
                      {"--tiles", options.tiles},
                      {"--overlap", number_text(options.overlap)},
                      {"--mirror", yes_or_no(options.mirror)},
                      {"--largest-component", yes_or_no(options.largest_component)},
                      {"--probabilities", yes_or_no(options.probabilities)},
                      {"--overlays", yes_or_no(options.overlays)},
                      {"--pool", options.pool.empty() ? predictor.model().card.pool : options.pool},
                      {"device", device.is_cuda() ? "cuda" : "cpu"},
                      {"precision", train::to_string(precision)}};
  for (size_t i = 0; i < weights.size(); ++i) plan.emplace_back(concat("--weights ", i + 1), content_of(weights[i]));
  return plan;
}

// Cases that go through the network together: one of many slices, or pictures of one size.
struct Group {
  std::vector<size_t> numbers;
  std::vector<data::Case> cases;
  bool takes(const data::Case& one, int64_t batch) const {
    if (cases.empty()) return true;
    const auto is_picture = [](const data::Case& c) { return c.axis == 2 && c.volume.size[2] == 1; };
    const data::Case& first = cases.front();
    return is_picture(one) && is_picture(first) && one.volume.size == first.volume.size && one.volume.channels == first.volume.channels &&
           static_cast<int64_t>(cases.size()) < batch;
  }
};

// Calls use(which case of the group, first slice, probabilities), some slices at a time.
template <class Use>
void for_slices(SlicePredictor& predictor, const std::vector<data::Case>& cases, const Use& use) {
  const int64_t batch = predictor.options().batch;
  if (cases.size() > 1) {
    std::vector<io::Image> slices;
    std::vector<data::IntensityRange> ranges;
    for (const data::Case& one : cases) slices.push_back(io::slice_of(one.volume, one.axis, 0)), ranges.push_back(one.range);
    const at::Tensor p = predictor.probabilities(slices, ranges);
    for (size_t i = 0; i < cases.size(); ++i) use(i, 0, p.slice(0, static_cast<int64_t>(i), static_cast<int64_t>(i) + 1));
    return;
  }
  const data::Case& one = cases.front();
  const int64_t count = one.volume.size[static_cast<size_t>(one.axis)];
  for (int64_t first = 0; first < count; first += batch) {
    if (stop_requested()) throw Error(ExitCode::stopped, "stopped");
    std::vector<io::Image> slices;
    for (int64_t i = first; i < std::min(count, first + batch); ++i) slices.push_back(io::slice_of(one.volume, one.axis, i));
    use(0, first, predictor.probabilities(slices, {one.range}));
  }
}

void write_record(const fs::path& output, const SlicePredictor& predictor, const std::vector<fs::path>& files, const std::vector<io::SourceFile>& cases,
                  const PredictOptions& options, size_t done, const std::vector<std::string>& failed) {
  const ModelCard& card = predictor.model().card;
  std::vector<std::string> names;
  for (const fs::path& file : files) names.push_back(file.string());
  const bool is_segmenter = predictor.model().is_segmenter();
  nlohmann::ordered_json json = {{"vmae_version", version()}, {"model", predictor.model().name}, {"weights", names}, {"class_names", card.class_names}};
  if (!card.label_values.empty()) json["label_values"] = card.label_values;
  json["options"] = {{"tiles", options.tiles},
                     {"overlap", options.overlap},
                     {"mirror", options.mirror},
                     {"largest_component", options.largest_component},
                     {"slice_axis", card.image.slice_axis}};
  if (options.overlays) json["options"]["overlays"] = true;
  if (!is_segmenter)
    json["options"] = {{"mirror", options.mirror}, {"pool", options.pool.empty() ? card.pool : options.pool}, {"is_multi_label", card.is_multi_label}};
  if (!cases.empty() && cases.front().prepared_case >= 0)
    json["prepared"] = {{"path", cases.front().path.string()}, {"digest", io::PreparedDataset(cases.front().path).info().digest}};
  json["cases"] = done;
  json["failed"] = failed;
  write_file_atomically(output / "predict.json", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void warn_of_unlike(const SlicePredictor& predictor) {
  if (2 * predictor.num_unlike() <= predictor.num_slices()) return;
  log::warning(
      concat(predictor.num_unlike(), " of ", predictor.num_slices(), predictor.num_slices() == 1 ? " image looks" : " images (slices of volumes) look",
             " unlike those that the model was trained on, by mean, contrast or colour of the network's input: another modality, region or scaling? What was "
             "predicted may mean nothing"));
}

}  // namespace

ExitCode predict_cases(const std::vector<io::SourceFile>& listed, const std::vector<fs::path>& weights, const fs::path& output, const PredictOptions& options,
                       const std::vector<std::string>& identifying, const std::vector<io::SourceFile>& beside,
                       const std::vector<io::SourceRemark>& refused_files) {
  const at::Device device = train::resolve_device(options.device);
  train::configure_compute(device, options.threads);
  const std::vector<fs::path> files = weight_files(weights);
  const train::Precision precision = train::resolve_precision(options.precision, device);
  std::vector<LoadedModel> models;
  for (const fs::path& file : files) models.push_back(load_model(file, device));
  SlicePredictor predictor(std::move(models), {options.tiles, options.overlap, options.mirror, options.batch}, device, precision);
  const ModelCard& card = predictor.model().card;
  const bool is_segmenter = predictor.model().is_segmenter();
  std::vector<io::SourceRemark> refused = refused_files, of_others;
  const std::vector<io::SourceFile> cases = cases_for(card, listed, options.channel_names, refused);
  const std::vector<std::string> names =
      options.names.empty() ? names_beside(cases, as_learnt(beside, card, of_others), identifying) : given_names(cases, options.names);
  log::info(concat(predictor.model().name, ", ", is_segmenter ? "background and " + io::class_list(card.class_names) : join(card.class_names, ", "), "; ",
                   files.size(), files.size() == 1 ? " model" : " models", "; ", cases.size(), " cases, on ", device.str()));
  log_intensity({&cases}, card.image, "case");
  if (is_segmenter) check_outputs(names, card, options);
  make_output_folder(output);
  if (is_segmenter && !options.pool.empty()) log::warning("--pool is for classification: it changes nothing here");
  if (!is_segmenter && (options.tiles != "auto" || options.largest_component || options.probabilities || options.overlays))
    log::warning("--tiles, --probabilities, --overlays and --largest-component are for segmentation: they change nothing here");

  PredictJournal journal(output, plan_of(predictor, files, options, device, precision, cases, names), options.begins_anew);
  std::vector<PredictedCase> results(cases.size());
  std::vector<size_t> todo;  // numbers of cases
  for (size_t i = 0; i < cases.size(); ++i) {
    const PredictedCase* there = journal.find(names[i]);
    if (there != nullptr) results[i] = *there;
    if (there == nullptr) todo.push_back(i);
  }
  if (todo.size() < cases.size()) log::info(concat(cases.size() - todo.size(), " of ", cases.size(), " cases are predicted already: going on"));

  const auto start = std::chrono::steady_clock::now();
  ProgressBar bar(stderr_is_terminal());
  std::vector<std::string> failed, problems;
  for (const io::SourceRemark& one : refused) {
    failed.push_back(io::without(one.name, identifying));
    problems.push_back(one.text);
  }
  const auto leave_out = [&](size_t number, const Error& error) {
    if (error.code() != ExitCode::data) throw error;  // a full disk would hit all that follow
    failed.push_back(names[number]);
    problems.emplace_back(io::without(error.what(), identifying));
    log::warning(concat(names[number], " was left out: ", problems.back()));
  };
  const auto predict_group = [&](const std::vector<size_t>& numbers, const std::vector<data::Case>& group) {
    std::vector<Result> predicted;
    for (size_t i = 0; i < group.size(); ++i) predicted.emplace_back(cases[numbers[i]], group[i], names[numbers[i]], card, options);
    for_slices(predictor, group, [&](size_t i, int64_t first, const at::Tensor& p) { predicted[i].add(first, p); });
    for (size_t i = 0; i < group.size(); ++i) {
      try {
        PredictedCase& done = results[numbers[i]] = predicted[i].write(output);
        journal.add(names[numbers[i]], done);
      } catch (const Error& error) {
        leave_out(numbers[i], error);
      }
    }
  };
  Group group;
  auto handled = static_cast<int64_t>(cases.size() - todo.size());
  const auto flush = [&] {
    if (group.cases.empty()) return;
    bool is_broken = false;
    try {
      predict_group(group.numbers, group.cases);
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;
      is_broken = true;
    } catch (const std::bad_alloc&) {  // one by one they may fit; what does not is named below
      is_broken = true;
    }
    if (is_broken) {
      for (size_t i = 0; i < group.cases.size(); ++i) {  // which of them it was
        try {
          predict_group({group.numbers[i]}, {group.cases[i]});
        } catch (const Error& own) {
          leave_out(group.numbers[i], own);
        } catch (const std::bad_alloc&) {
          leave_out(group.numbers[i], Error(ExitCode::data, "does not fit in memory", "lower --batch"));
        }
      }
    }
    handled += std::ssize(group.numbers);
    bar.update({"predict", handled, static_cast<int64_t>(cases.size()), {{"case", names[group.numbers.back()]}}});
    group = {};
  };
  install_stop_signals();
  std::future<LoadedCase> next;
  const auto read_ahead = [&](size_t i) {
    if (i < todo.size()) next = std::async(std::launch::async, load_case, std::cref(cases[todo[i]]), std::cref(card.image));
  };
  const auto write_tables = [&] {
    if (is_segmenter) return;
    std::vector<std::string> head{"case", "slices"};
    head.insert(head.end(), card.class_names.begin(), card.class_names.end());
    std::string of_cases = report::csv_line(head);
    head[1] = "slice";
    std::string of_slices = report::csv_line(head);
    for (const PredictedCase& one : results) of_cases += one.cases_row, of_slices += one.slices_rows;
    write_file_atomically(output / "cases.csv", of_cases);
    write_file_atomically(output / "slices.csv", of_slices);
  };
  read_ahead(0);
  size_t read = 0;
  try {
    for (; read < todo.size(); ++read) {
      LoadedCase loaded = next.get();
      if (stop_requested()) throw Error(ExitCode::stopped, "stopped");
      read_ahead(read + 1);
      if (loaded.problem) {
        leave_out(todo[read], *loaded.problem);
        continue;
      }
      if (!group.takes(loaded.one, options.batch)) flush();
      group.numbers.push_back(todo[read]);
      group.cases.push_back(std::move(loaded.one));
      if (group.cases.front().volume.size[2] > 1) flush();
    }
    flush();
  } catch (const Error& error) {
    if (error.code() != ExitCode::stopped) throw;
    bar.finish();
    write_tables();
    throw Error(
        ExitCode::stopped,
        concat("stopped by ", stop_signal_name(), " at case ", cases.size() - todo.size() + read + 1, " of ", cases.size(), "; what is written is whole"),
        "go on with the same command, without --overwrite; of fine-tuning's test part with --resume");
  }
  bar.finish();
  write_tables();
  warn_of_unlike(predictor);
  const size_t done = cases.size() + refused.size() - failed.size();
  write_record(output, predictor, files, cases, options, done, failed);
  journal.finish();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  log::info(concat(done, " of ", cases.size() + refused.size(), " cases predicted in ", human_seconds(seconds), ": ", output.string(),
                   is_segmenter ? "" : "/{cases.csv, slices.csv}"));
  if (failed.empty()) return ExitCode::ok;
  log::warning(concat(failed.size(), failed.size() == 1 ? " case was" : " cases were", " left out (also in predict.json):"));
  for (size_t i = 0; i < failed.size(); ++i) log::warning(concat("  ", failed[i], ": ", problems[i]));
  if (done == 0) throw Error(ExitCode::data, "no case could be predicted", "see the reasons above");
  return ExitCode::some_failed;
}

ExitCode predict(const PredictArguments& arguments) {
  std::error_code problem;
  const bool is_taken = fs::is_directory(arguments.output, problem) && !fs::is_empty(arguments.output, problem) && !arguments.overwrite &&
                        !PredictJournal::is_in(arguments.output);
  if (is_taken && problem) throw Error(ExitCode::usage, concat("--output ", arguments.output.string(), " can't be listed: ", problem.message()));
  if (is_taken) {
    throw Error(ExitCode::usage, concat("--output ", arguments.output.string(), " is not empty"),
                "choose another folder, or replace files of the same name with --overwrite");
  }
  io::Source source = io::find_source(arguments.input, arguments.layout);
  log_remarks(source);
  PredictOptions options = arguments.options;
  options.channel_names = source.channel_names;
  options.begins_anew = arguments.overwrite;
  const NameArguments& given = arguments.names;
  if (source.layout != "prepared" && !(given.table.empty() && given.source.empty() && given.salt_file.empty()))
    throw Error(ExitCode::usage, "--names-table, --source and --salt-file are for prepared datasets: other files have their names", "leave them out");
  if (source.layout == "prepared") {
    if (const auto table = names_of_dataset(arguments.input, given)) {
      for (const NamedCase& one : table->cases) options.names[one.name] = one.prediction;
    }
  }
  return predict_cases(source.files, arguments.weights, arguments.output, options, source.identifying, {}, source.refused);
}

}  // namespace vmae::run
