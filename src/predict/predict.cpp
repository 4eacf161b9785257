// Case after case: while one is predicted, the next is read and the one before is written. A case that fails is named
// at the end and stops nothing.
#include "vmae/predict/predict.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "case_predictor.h"
#include "case_result.h"
#include "input.h"
#include "journal.h"
#include "output.h"
#include "postprocessing.h"
#include "vmae/cases/class_names.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/clock.h"
#include "vmae/core/json_text.h"
#include "vmae/core/log.h"
#include "vmae/core/signals.h"
#include "vmae/core/version.h"
#include "vmae/predict/find_weights.h"
#include "vmae/prepare/names_table.h"
#include "vmae/prepared/prepared.h"
#include "vmae/report/progress.h"
#include "vmae/report/table.h"
#include "vmae/runs/content.h"
#include "vmae/runs/modality.h"
#include "vmae/runs/run_record.h"
#include "vmae/runs/source_notes.h"
#include "vmae/sources/case_names.h"
#include "vmae/train/device.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

std::vector<fs::path> weight_files(const std::vector<fs::path>& given) {
  std::vector<fs::path> files;
  for (const fs::path& path : given) {
    const std::vector<fs::path> all = find_all_weights(path);
    files.insert(files.end(), all.begin(), all.end());
  }
  return files;
}

std::vector<std::string> given_names(const std::vector<io::SourceFile>& cases,
                                     const std::map<std::string, std::string>& name_of) {
  std::vector<std::string> names;
  for (const io::SourceFile& file : cases) {
    const auto found = name_of.find(file.name);
    if (found == name_of.end())
      throw Error(ExitCode::data, concat("case ", file.name, " has no name"), "give the names of the whole dataset");
    names.push_back(found->second);
  }
  return names;
}

// Case "a" of class "b_c" and case "a_b" of class "c" would write the
// same file; names that differ by case only do so on some file systems.
void check_outputs(const std::vector<std::string>& names, const ModelCard& card, const PredictOptions& options) {
  std::map<std::string, std::string> alike, probabilities;
  for (const std::string& name : names) {
    const auto [first, is_new] = alike.emplace(to_lower(name), name);
    if (!is_new)
      log::warning(concat("the predictions of ", first->second, " and ", name,
                          " differ by the case of letters only: where a file system does not tell these apart, one "
                          "overwrites the other"));
  }
  const auto in_overlays = std::find_if(
      names.begin(), names.end(), [](const std::string& name) { return to_lower(name).starts_with("overlays/"); });
  if (options.overlays && in_overlays != names.end())
    throw Error(ExitCode::data, concat("the prediction of ", *in_overlays, " would lie among the overlays"),
                "predict without --overlays, or rename that folder");
  if (!options.probabilities) return;
  const std::vector<std::string> class_names = probability_file_names(card);
  for (const std::string& name : names) {
    for (const std::string& class_name : class_names) {
      const auto [first, is_new] = probabilities.emplace(concat(name, '_', class_name), name);
      if (!is_new)
        throw Error(
            ExitCode::data,
            concat("the probabilities of ", first->second, " and ", name, " would have the same name, ", first->first),
            "predict them into different folders, or without --probabilities");
    }
  }
}

void make_output_folder(const fs::path& output) {
  std::error_code problem;
  fs::create_directories(output, problem);
  if (!problem && access(output.c_str(), W_OK) != 0) problem = std::error_code(errno, std::generic_category());
  if (problem)
    throw Error(ExitCode::usage, concat("--output ", output.string(), " can't be written to: ", problem.message()),
                "choose a folder that you may write to");
}

// Cases that go through the network together.
struct Group {
  std::vector<size_t> numbers;
  std::vector<LoadedCase> cases;
};

// What became of a case.
struct Written {
  size_t number;
  PredictedCase files;
  std::optional<Error> problem;
};

// Cases through the models, one after the other, and what becomes of them.
class Prediction {
 public:
  Prediction(const std::vector<io::SourceFile>& listed, const std::vector<fs::path>& weights, fs::path output,
             const PredictOptions& options, const std::vector<std::string>& identifying,
             const std::vector<io::SourceFile>& beside, std::vector<io::SourceRemark> refused)
      : output_(std::move(output)),
        options_(options),
        identifying_(identifying),
        device_(train::resolve_device(options.device)),
        precision_(train::resolve_precision(options.precision, device_)),
        weights_(weight_files(weights)),
        refused_(std::move(refused)),
        bar_(stderr_is_terminal()) {
    train::configure_compute(device_, options.threads, /*deterministic=*/false);
    std::vector<LoadedModel> models;
    for (const fs::path& file : weights_) models.push_back(load_model(file, device_));
    if (!options_.mirror) options_.mirror = models.front().plans != nullptr;
    predictor_ = make_case_predictor(std::move(models), options_, device_, precision_);
    if (is_segmenter()) postprocessing_ = choose_postprocessing(options.postprocessing, weights, card());
    std::vector<io::SourceRemark> of_others;
    cases_ = cases_for(card(), listed, options.channel_names, refused_);
    names_ = options.names.empty() ? io::names_beside(cases_, as_learnt(beside, card(), of_others), identifying)
                                   : given_names(cases_, options.names);
    results_.resize(cases_.size());
    for (const io::SourceRemark& one : refused_) failed_.push_back({io::without(one.name, identifying), one.text});
  }

  ExitCode run() {
    const auto start = Clock::now();
    describe();
    make_output_folder(output_);
    journal_.emplace(output_, plan(), options_.begins_anew);
    find_what_is_done();
    install_stop_signals();
    try {
      predict_all();
    } catch (const Error& error) {
      finish_writing();  // what is written need not be predicted again
      if (error.code() != ExitCode::stopped) throw;
      bar_.finish();
      write_tables();
      throw Error(ExitCode::stopped,
                  concat("stopped by ", stop_signal_name(), " at case ", cases_.size() - todo_.size() + num_read_ + 1,
                         " of ", cases_.size(), "; what is written is whole"),
                  "go on with the same command, without --overwrite; of fine-tuning's test part with --resume");
    }
    bar_.finish();
    write_tables();
    predictor_->warn_of_input();
    write_record();
    journal_->finish();
    return tell_result(start);
  }

 private:
  struct Failure {
    std::string name, problem;
  };
  const ModelCard& card() const { return predictor_->model().card; }
  bool is_segmenter() const { return predictor_->model().is_segmenter(); }
  const std::string& pool() const { return options_.pool.empty() ? card().pool : options_.pool; }
  std::string text_of_classes() const {
    if (!is_segmenter()) return join(card().class_names, ", ");
    if (!card().region_names.empty()) return "regions " + join(card().region_names, ", ");
    return "background and " + io::class_list(card().class_names);
  }
  size_t num_all() const { return cases_.size() + refused_.size(); }
  size_t num_done() const { return num_all() - failed_.size(); }

  void describe() const {
    log::info(concat(predictor_->model().name, ", ", text_of_classes(), "; ", count_text(std::ssize(weights_), "model"),
                     "; ", count_text(std::ssize(cases_), "case"), ", on ", device_.str()));
    if (predictor_->model().plans == nullptr) log_intensity({&cases_}, card().image, "case");  // an nnU-Net has its own
    if (is_segmenter()) check_outputs(names_, card(), options_);
    if (!postprocessing_.file.empty())
      log::info(concat("postprocessing: ", text_of(postprocessing_, card()), " (", postprocessing_.file.string(), ")"));
    if (is_segmenter() && !options_.pool.empty()) log::warning("--pool is for classification: it changes nothing here");
    if (!is_segmenter() &&
        (options_.tiles != "auto" || options_.largest_component || options_.probabilities || options_.overlays ||
         (options_.postprocessing != "auto" && options_.postprocessing != "none")))
      log::warning(
          "--tiles, --probabilities, --overlays, --postprocessing and --largest-component are for segmentation: they "
          "change nothing here");
  }

  // All that decides what is written: what is there of a prediction with the same plan is there.
  PredictPlan plan() const {
    const auto yes_or_no = [](bool value) { return value ? "yes" : "no"; };
    PredictPlan plan = {{"vmae", concat(version(), " (", git_revision(), ")")},
                        {"input", content_of(cases_, names_)},
                        {"--tiles", options_.tiles},
                        {"--overlap", number_text(options_.overlap)},
                        {"--mirror", yes_or_no(*options_.mirror)},
                        {"--largest-component", yes_or_no(options_.largest_component)},
                        {"--postprocessing", postprocessing_.file.empty() ? "none" : content_of(postprocessing_.file)},
                        {"--probabilities", yes_or_no(options_.probabilities)},
                        {"--overlays", yes_or_no(options_.overlays)},
                        {"--pool", pool()},
                        {"device", device_.is_cuda() ? "cuda" : "cpu"},
                        {"precision", train::to_string(precision_)}};
    for (size_t i = 0; i < weights_.size(); ++i)
      plan.emplace_back(concat("--weights ", i + 1), content_of(weights_[i]));
    return plan;
  }

  void find_what_is_done() {
    for (size_t i = 0; i < cases_.size(); ++i) {
      if (const PredictedCase* there = journal_->find(names_[i])) {
        results_[i] = *there;
      } else {
        todo_.push_back(i);
      }
    }
    num_handled_ = std::ssize(cases_) - std::ssize(todo_);
    if (num_handled_ > 0)
      log::info(concat(num_handled_, " of ", cases_.size(), " cases are predicted already: going on"));
  }

  // While one case is predicted, the next is read, and the one before is written.
  void predict_all() {
    std::future<LoadedCase> next;
    const auto read_ahead = [&](size_t i) {
      if (i < todo_.size())
        next = std::async(std::launch::async, [this, i] { return predictor_->load(cases_[todo_[i]]); });
    };
    read_ahead(0);
    for (; num_read_ < todo_.size(); ++num_read_) {
      LoadedCase loaded = next.get();
      if (stop_requested()) throw Error(ExitCode::stopped, "stopped");
      read_ahead(num_read_ + 1);
      if (loaded.problem) {
        leave_out(todo_[num_read_], *loaded.problem);
        continue;
      }
      if (!group_.cases.empty() && !predictor_->go_together(group_.cases, loaded)) flush();
      group_.numbers.push_back(todo_[num_read_]);
      group_.cases.push_back(std::move(loaded));
      if (group_.cases.front().one.volume.size[2] > 1) flush();
    }
    flush();
    finish_writing();
  }

  // Predicts the group; where that fails its cases one by one, to know which of them it was.
  void flush() {
    if (group_.cases.empty()) return;
    if (!can_predict_together()) {
      for (size_t i = 0; i < group_.cases.size(); ++i) {
        Group alone{{group_.numbers[i]}, {group_.cases[i]}};
        try {
          predict_together(alone);
        } catch (const Error& own) {
          leave_out(group_.numbers[i], own);
        } catch (const std::exception& problem) {
          const std::optional<Error> memory = train::out_of_memory(problem);
          if (!memory) throw;
          leave_out(group_.numbers[i], does_not_fit(*memory));
        }
      }
    }
    num_handled_ += std::ssize(group_.numbers);
    bar_.update({"predict", num_handled_, std::ssize(cases_), {{"case", names_[group_.numbers.back()]}}});
    group_ = {};
  }

  bool can_predict_together() {
    try {
      predict_together(group_);
      return true;
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;
    } catch (const std::exception& problem) {  // one by one they may fit
      if (!train::out_of_memory(problem)) throw;
    }
    return false;
  }

  // Takes the cases of the group, where it succeeds: they are written while the next are predicted.
  void predict_together(Group& group) {
    std::vector<CaseResult> predicted;
    for (size_t i = 0; i < group.cases.size(); ++i)
      predicted.emplace_back(cases_[group.numbers[i]], group.cases[i].one, names_[group.numbers[i]], card(), options_,
                             postprocessing_.of_classes);
    predictor_->predict(group.cases, predicted);
    finish_writing();
    writing_ =
        std::async(std::launch::async, [this, numbers = group.numbers, cases = std::move(group.cases),
                                        results = std::move(predicted)]() mutable { return write(numbers, results); });
  }

  std::vector<Written> write(const std::vector<size_t>& numbers, std::vector<CaseResult>& results) const {
    std::vector<Written> all;
    for (size_t i = 0; i < numbers.size(); ++i) {
      Written one{numbers[i], {}, {}};
      try {
        one.files = results[i].write(output_);
      } catch (const Error& error) {
        one.problem = error;
      } catch (const std::exception& problem) {
        const std::optional<Error> memory = train::out_of_memory(problem);
        if (!memory) throw;
        one.problem = does_not_fit(*memory);
      }
      all.push_back(std::move(one));
    }
    return all;
  }

  void finish_writing() {
    if (!writing_.valid()) return;
    for (const Written& one : writing_.get()) {
      if (one.problem) {
        leave_out(one.number, *one.problem);
        continue;
      }
      results_[one.number] = one.files;
      journal_->add(names_[one.number], one.files);
    }
  }

  static Error does_not_fit(const Error& memory) { return {ExitCode::data, memory.what(), "lower --batch"}; }

  void leave_out(size_t number, const Error& error) {
    if (error.code() != ExitCode::data) throw error;  // a full disk would hit all that follow
    failed_.push_back({names_[number], io::without(error.what(), identifying_)});
    log::warning(concat(names_[number], " was left out: ", failed_.back().problem));
  }

  // Of a classifier: scores of cases and of slices.
  void write_tables() const {
    if (is_segmenter()) return;
    std::vector<std::string> head{"case", "slices"};
    head.insert(head.end(), card().class_names.begin(), card().class_names.end());
    std::string of_cases = report::csv_line(head);
    head[1] = "slice";
    std::string of_slices = report::csv_line(head);
    for (const PredictedCase& one : results_) {
      of_cases += one.cases_row;
      of_slices += one.slices_rows;
    }
    write_file_atomically(output_ / "cases.csv", of_cases);
    write_file_atomically(output_ / "slices.csv", of_slices);
  }

  // predict.json
  void write_record() const {
    std::vector<std::string> weights, failed;
    for (const fs::path& file : weights_) weights.push_back(file.string());
    for (const Failure& one : failed_) failed.push_back(one.name);
    nlohmann::ordered_json json = {{"vmae_version", version()},
                                   {"model", predictor_->model().name},
                                   {"weights", weights},
                                   {"class_names", card().class_names}};
    if (!card().label_values.empty()) json["label_values"] = card().label_values;
    const char* const tiles = predictor_->model().plans != nullptr ? "always" : options_.tiles.c_str();
    json["options"] = {{"tiles", tiles},
                       {"overlap", options_.overlap},
                       {"mirror", *options_.mirror},
                       {"largest_component", options_.largest_component},
                       {"slice_axis", card().image.slice_axis}};
    if (options_.overlays) json["options"]["overlays"] = true;
    if (!postprocessing_.file.empty()) {
      nlohmann::ordered_json& steps = json["options"]["postprocessing"] = nlohmann::ordered_json::array();
      for (const nnunet::PostprocessingStep& step : postprocessing_.of_values.steps)
        steps.push_back({{"labels", step.labels}});
    }
    if (!is_segmenter())
      json["options"] = {{"mirror", *options_.mirror}, {"pool", pool()}, {"is_multi_label", card().is_multi_label}};
    if (!cases_.empty() && cases_.front().prepared_case >= 0)
      json["prepared"] = {{"path", cases_.front().path.string()},
                          {"digest", io::PreparedDataset(cases_.front().path).info().digest}};
    json["cases"] = num_done();
    json["failed"] = failed;
    write_file_atomically(output_ / "predict.json", json_text(json, 2) + "\n");
  }

  ExitCode tell_result(Clock::time_point start) const {
    log::info(concat(num_done(), " of ", num_all(), " cases predicted in ", human_seconds(seconds_since(start)), ": ",
                     output_.string(), is_segmenter() ? "" : "/{cases.csv, slices.csv}"));
    if (failed_.empty()) return ExitCode::ok;
    log::warning(
        concat(failed_.size(), failed_.size() == 1 ? " case was" : " cases were", " left out (also in predict.json):"));
    for (const Failure& one : failed_) log::warning(concat("  ", one.name, ": ", one.problem));
    if (num_done() == 0) throw Error(ExitCode::data, "no case could be predicted", "see the reasons above");
    return ExitCode::some_failed;
  }

  fs::path output_;
  PredictOptions options_;  // with what was not said
  const std::vector<std::string>& identifying_;
  at::Device device_;
  train::Precision precision_;
  std::vector<fs::path> weights_;
  std::vector<io::SourceRemark> refused_;  // files
  ProgressBar bar_;
  std::unique_ptr<CasePredictor> predictor_;
  std::vector<io::SourceFile> cases_;
  std::vector<std::string> names_;
  ChosenPostprocessing postprocessing_;
  std::optional<PredictJournal> journal_;
  std::vector<PredictedCase> results_;  // by case
  std::vector<size_t> todo_;            // numbers of cases
  size_t num_read_ = 0;                 // of those
  int64_t num_handled_ = 0;             // with those of an earlier start
  Group group_;
  std::vector<Failure> failed_;
  std::future<std::vector<Written>> writing_;  // the last member: it uses the others
};

}  // namespace

ExitCode predict_cases(const std::vector<io::SourceFile>& listed, const std::vector<fs::path>& weights,
                       const fs::path& output, const PredictOptions& options,
                       const std::vector<std::string>& identifying, const std::vector<io::SourceFile>& beside,
                       const std::vector<io::SourceRemark>& refused) {
  return Prediction(listed, weights, output, options, identifying, beside, refused).run();
}

ExitCode predict(const PredictArguments& arguments) {
  std::error_code problem;
  const bool is_taken = fs::is_directory(arguments.output, problem) && !fs::is_empty(arguments.output, problem) &&
                        !arguments.overwrite && !PredictJournal::is_in(arguments.output);
  if (is_taken && problem)
    throw Error(ExitCode::usage,
                concat("--output ", arguments.output.string(), " can't be listed: ", problem.message()));
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
    throw Error(ExitCode::usage,
                "--names-table, --source and --salt-file are for prepared datasets: other files have their names",
                "leave them out");
  if (source.layout == "prepared") {
    if (const auto table = names_of_dataset(arguments.input, given)) {
      for (const NamedCase& one : table->cases) options.names[one.name] = one.prediction;
    }
  }
  return predict_cases(source.files, arguments.weights, arguments.output, options, source.identifying, {},
                       source.refused);
}

}  // namespace vmae::run
