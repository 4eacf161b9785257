// Worker threads prepare cases; one thread writes them in their order, so that the result
// does not depend on who was faster. What is finished but not yet due waits, up to a limit.
#include "vmae/prepare/prepare.h"

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "case.h"
#include "vmae/cases/label_meaning.h"
#include "vmae/core/append_file.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/clock.h"
#include "vmae/core/error.h"
#include "vmae/core/file_lock.h"
#include "vmae/core/json_text.h"
#include "vmae/core/log.h"
#include "vmae/core/log_once.h"
#include "vmae/core/machine.h"
#include "vmae/core/signals.h"
#include "vmae/core/version.h"
#include "vmae/prepare/names_table.h"
#include "vmae/prepare/plan.h"
#include "vmae/prepared/prepared.h"
#include "vmae/prepared/writer.h"
#include "vmae/report/progress.h"

namespace vmae::run {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxWaitingBytes = size_t{256} << 20;
constexpr size_t kCommitBytes = size_t{64} << 20;
constexpr double kCommitSeconds = 2.0, kLogSeconds = 30.0;

// Cases in their order from worker threads.
class CaseQueue {
 public:
  CaseQueue(const Plan& plan, const PrepareOptions& options, const Pseudonyms& pseudonyms, size_t first)
      : plan_(plan), options_(options), pseudonyms_(pseudonyms), next_to_start_(first), next_to_write_(first) {
    const int64_t workers = options.workers > 0 ? options.workers : usable_threads();
    window_ = static_cast<size_t>(4 * workers + 16);
    for (int64_t i = 0; i < workers; ++i) threads_.emplace_back([this] { work(); });
  }
  ~CaseQueue() {
    {
      const std::lock_guard lock(mutex_);
      is_stopping_ = true;
    }
    changed_.notify_all();
  }

  // Nothing if a signal came while waiting.
  std::optional<FinishedCase> take() {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, std::chrono::milliseconds(200),
                              [this] { return error_ || finished_.contains(next_to_write_); })) {
      if (stop_requested()) return std::nullopt;
    }
    if (error_) std::rethrow_exception(error_);
    FinishedCase finished = std::move(finished_.at(next_to_write_));
    finished_.erase(next_to_write_++);
    waiting_bytes_ -= finished.bytes();
    changed_.notify_all();
    return finished;
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (!is_stopping_ && next_to_start_ < plan_.cases.size()) {
      if (next_to_start_ > next_to_write_ &&
          (next_to_start_ >= next_to_write_ + window_ || waiting_bytes_ > kMaxWaitingBytes)) {
        changed_.wait(lock);
        continue;
      }
      const size_t number = next_to_start_++;
      lock.unlock();
      FinishedCase finished;
      std::exception_ptr error;
      try {
        finished =
            prepare_case(plan_.cases[number], static_cast<int64_t>(number), options_, plan_.mask_names, pseudonyms_);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (error) error_ = error;
      waiting_bytes_ += finished.bytes();
      finished_.emplace(number, std::move(finished));
      changed_.notify_all();
    }
  }

  const Plan& plan_;
  const PrepareOptions& options_;
  const Pseudonyms& pseudonyms_;
  size_t next_to_start_, next_to_write_, window_, waiting_bytes_ = 0;
  bool is_stopping_ = false;
  std::map<size_t, FinishedCase> finished_;
  std::exception_ptr error_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::jthread> threads_;  // last: they end before what they use
};

// The output folder: what belongs to us there, and whose turn it is.
class OutputFolder {
 public:
  // Throws Error(usage) where something else lies here, before anything is written.
  explicit OutputFolder(fs::path path) : path_(std::move(path)) {
    std::error_code problem;
    if (fs::exists(path_, problem) && !fs::is_directory(path_, problem))
      throw Error(ExitCode::usage, concat("--output ", path_.string(), " is a file"), "give a folder");
    refuse_others();
    fs::create_directories(path_, problem);
    lock_.emplace(path_ / ".lock", concat("--output ", path_.string()));
    if (!lock_->is_held())
      throw Error(ExitCode::usage, concat("--output ", path_.string(), ": another vmae prepare is at work there"),
                  "wait for it, or choose another folder");
  }

  fs::path file(const std::string& name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

  // Begins, or goes on with the same plan. Throws Error(usage) where a dataset of another one lies here.
  void begin(const Plan& plan, const Pseudonyms& pseudonyms, bool overwrite) const {
    const fs::path plan_file = file("plan.json");
    for (const fs::directory_entry& entry : fs::directory_iterator(path_)) {  // all ours: refuse_others()
      const std::string name = entry.path().filename().string();
      if (name != ".lock" && (overwrite || is_unfinished_write(name))) fs::remove(entry.path());
    }
    if (!overwrite && fs::exists(plan_file)) {
      const auto json = nlohmann::json::parse(read_file(plan_file), nullptr, /*allow_exceptions=*/false);
      const bool is_same = json.is_object() && json.value("fingerprint", "") == plan.fingerprint;
      if (is_same && json.value("salt", pseudonyms.salt_check()) == pseudonyms.salt_check()) return;
      throw Error(ExitCode::usage,
                  concat("--output ", path_.string(),
                         " holds a dataset of other files, options or salt, or files have changed since"),
                  "start over with --overwrite, go on with the same command as before, or choose another folder");
    }
    write_file_atomically(
        plan_file, nlohmann::json{{"fingerprint", plan.fingerprint}, {"salt", pseudonyms.salt_check()}}.dump() + "\n");
  }

 private:
  // What a process that was killed while it wrote one of our files has left (core/atomic_file.h).
  static bool is_unfinished_write(const std::string& name) {
    return name.ends_with(".tmp") && (name.starts_with("index.json.") || name.starts_with("plan.json.") ||
                                      name.starts_with("quarantine.jsonl.") || name.starts_with("duplicates.jsonl."));
  }

  // A folder is ours if it has a plan.json (the first file
  // written) and nothing that we do not write; or if it is empty.
  void refuse_others() const {
    std::error_code absent;
    bool has_plan = false;
    std::string foreign, any;
    for (fs::directory_iterator entry(path_, absent), end; !absent && entry != end; entry.increment(absent)) {
      const std::string name = entry->path().filename().string();
      if (name == ".lock" || is_unfinished_write(name)) continue;
      any = name;
      has_plan |= name == "plan.json";
      const bool is_shard = name.size() == 18 && name.starts_with("shard-") && name.ends_with(".mdb");
      const bool is_ours = is_shard || name == "index.json" || name == "plan.json" || name == "prepare.log" ||
                           name == "quarantine.jsonl" || name == "duplicates.jsonl" || name == "work.mdb";
      if (!is_ours || !entry->is_regular_file()) foreign = name;
    }
    if (absent && absent != std::errc::no_such_file_or_directory)
      throw Error(ExitCode::usage, concat("--output ", path_.string(), " can't be listed: ", absent.message()),
                  "choose a folder of your own");
    if (!foreign.empty() || (!any.empty() && !has_plan)) {
      throw Error(ExitCode::usage,
                  concat("--output ", path_.string(), " holds ", foreign.empty() ? any : foreign,
                         ", which is not of a prepared dataset"),
                  "choose an empty or a new folder");
    }
  }

  fs::path path_;
  std::optional<FileLock> lock_;
};

class Progress {
 public:
  Progress(const Plan& plan, size_t done) : bar_(stderr_is_terminal()), total_(plan.cases.size()), first_(done) {
    update(done, 0);
  }
  void update(size_t done, int64_t new_items) {
    items_ += new_items;
    const double elapsed_s = seconds_since(begin_);
    const std::string rate = number_text(std::round(static_cast<double>(items_) / std::max(elapsed_s, 1e-3)));
    bar_.update({"preparing", static_cast<int64_t>(done), static_cast<int64_t>(total_), {{"slices/s", rate}}});
    if (stderr_is_terminal() || seconds_since(last_log_) < kLogSeconds || done == first_) return;
    last_log_ = Clock::now();
    const double left_s = elapsed_s * static_cast<double>(total_ - done) / static_cast<double>(done - first_);
    log::info(concat("prepared ", done, " of ", total_, " cases, ", rate, " slices/s, about ", human_seconds(left_s),
                     " left"));
  }
  void finish() { bar_.finish(); }

 private:
  ProgressBar bar_;
  size_t total_, first_;
  int64_t items_ = 0;
  Clock::time_point begin_ = Clock::now(), last_log_ = Clock::now();
};

// What training is going to refuse is said now, when the masks can still be mended. Masks
// are kept as they are all the same: data.label_values may say what their values mean.
void tell_of_labels(const Plan& plan, const io::LabelFacts& labels) {
  try {
    io::label_meaning({.names = plan.mask_names, .ignore = plan.ignore_label}, labels);
  } catch (const Error& error) {
    log::warning(concat("fine-tuning will refuse these masks as they are: ", error.what(), " (", error.hint(), ")"));
  }
}

// Writes all cases that are not there yet. False if a signal stopped it.
bool write_shards(const Plan& plan, const OutputFolder& folder, const PrepareOptions& options,
                  const Pseudonyms& pseudonyms) {
  // Where an earlier run stopped.
  size_t done = 0;
  for (const PlannedShard& shard : plan.shards) {
    if (!fs::exists(folder.file(shard.file()))) break;
    const auto there = static_cast<size_t>(
        io::ShardWriter(folder.file(shard.file()), static_cast<int64_t>(shard.first_case)).num_cases());
    done += there;
    if (there < shard.num_cases) break;
  }
  if (done > 0) log::info(concat(done, " of ", plan.cases.size(), " cases are there already"));
  if (done == plan.cases.size()) return true;

  fs::remove(folder.file("work.mdb"));
  io::DuplicateFinder duplicates(folder.file("work.mdb"));
  for (const PlannedShard& shard : plan.shards) {
    if (done <= shard.first_case) break;
    duplicates.add_cases(folder.file(shard.file()), static_cast<int64_t>(shard.first_case),
                         static_cast<int64_t>(std::min(shard.num_cases, done - shard.first_case)));
  }
  Progress progress(plan, done);
  PrepareOptions decided = options;
  decided.slice_axis = plan.slice_axis;
  CaseQueue queue(plan, decided, pseudonyms, done);
  io::LabelFacts labels;
  for (const PlannedShard& shard : plan.shards) {
    if (done >= shard.first_case + shard.num_cases) continue;
    io::ShardWriter writer(folder.file(shard.file()), static_cast<int64_t>(shard.first_case));
    size_t uncommitted = 0;
    auto committed_at = Clock::now();
    const auto commit = [&] {
      duplicates.commit();  // first: found again, these give the same answer
      writer.commit();
      uncommitted = 0;
      committed_at = Clock::now();
    };
    while (done < shard.first_case + shard.num_cases) {
      if (stop_requested()) {
        commit();
        return false;
      }
      std::optional<FinishedCase> taken = queue.take();
      if (!taken) continue;
      FinishedCase& finished = *taken;
      if (finished.a_case.failure.empty()) {
        const int64_t first = duplicates.first_of(finished.a_case.pixels_sha256, static_cast<int64_t>(done));
        if (first != static_cast<int64_t>(done)) {
          finished.a_case.duplicate_of = first;
          if (options.duplicates == "leave_out" && plan.cases[done].channel_of < 0)
            finished.items.clear(), finished.a_case.items_sha256 = io::items_digest({});
        }
      } else {
        log::warning(concat("left out: case ", done, " (", finished.a_case.name, "): ", finished.a_case.failure));
      }
      if (finished.mask_values)
        labels.add(*finished.mask_values, concat("the mask of case ", done, " (", finished.a_case.name, ")"));
      writer.add(finished.a_case, finished.items);
      uncommitted += finished.bytes();
      if (uncommitted > kCommitBytes || seconds_since(committed_at) > kCommitSeconds) commit();
      progress.update(++done, static_cast<int64_t>(finished.items.size()));
    }
    commit();
  }
  progress.finish();
  tell_of_labels(plan, labels);
  return true;
}

void write_lists(const Plan& plan, const io::PreparedInfo& info, const OutputFolder& folder,
                 const Pseudonyms& pseudonyms) {
  using Json = nlohmann::ordered_json;
  std::string quarantine, duplicates;
  const auto line = [](const Json& json) { return json_text(json) + "\n"; };
  for (const io::SourceRemark& refusal : plan.refused)
    quarantine += line({{"name", pseudonyms.name(refusal.name)}, {"reason", refusal.text}});
  const io::PreparedDataset dataset(folder.path(), info);
  for (int64_t i = 0;
       i < dataset.info().num_cases && (dataset.info().num_failed > 0 || dataset.info().num_duplicates > 0); ++i) {
    const io::PreparedCase c = dataset.read_case(i);
    if (!c.failure.empty()) quarantine += line({{"name", c.name}, {"case", i}, {"reason", c.failure}});
    if (c.duplicate_of)
      duplicates += line({{"name", c.name},
                          {"case", i},
                          {"same_pixels_as", dataset.read_case(*c.duplicate_of).name},
                          {"as_case", *c.duplicate_of}});
  }
  write_file_atomically(folder.file("quarantine.jsonl"), quarantine);
  write_file_atomically(folder.file("duplicates.jsonl"), duplicates);
}

// Of a finished dataset. Its own records say whether these are its cases, and this its salt.
void write_names(const Plan& plan, const OutputFolder& folder, const Pseudonyms& pseudonyms, const fs::path& file) {
  const io::PreparedDataset dataset(folder.path());
  std::vector<io::SourceFile> files;
  for (size_t i = 0; i < plan.cases.size(); ++i) {
    files.push_back(plan.cases[i].file);
    if (dataset.read_case(static_cast<int64_t>(i)).name != pseudonyms.name(files.back().name))
      throw Error(ExitCode::usage, "the dataset's names were made with another salt: no names table can be written",
                  "give its prepare.salt_file");
  }
  NamesTable table = name_cases(std::move(files), plan.refused, plan.identifying,
                                [&](const std::string& name) { return pseudonyms.name(name); });
  table.digest = dataset.info().digest;
  write_names_table(file, table);
  log::info(concat("names table: ", table.cases.size(),
                   " cases. It identifies patients: keep it secret, and never with the dataset"));
}

ExitCode code_of(const Plan& plan, const io::PreparedInfo& info) {
  return info.num_failed > 0 || !plan.refused.empty() ? ExitCode::some_failed : ExitCode::ok;
}

// Neither lies in the other: what is written must not be read, nor what is read be overwritten.
void check_apart(const fs::path& input, const fs::path& output) {
  const auto is_inside = [](const fs::path& inner, const fs::path& outer) {
    const fs::path relative = inner.lexically_relative(outer);
    return !relative.empty() && *relative.begin() != "..";
  };
  std::error_code ignored;
  const fs::path from = fs::weakly_canonical(input, ignored), to = fs::weakly_canonical(output, ignored);
  if (is_inside(from, to) || (fs::is_directory(from, ignored) && is_inside(to, from)))
    throw Error(ExitCode::usage, "--input and --output lie one in the other", "choose a folder outside of the input");
}

void check(const PrepareOptions& options) {
  const auto require = [](bool is_good, const std::string& problem) {
    if (!is_good) throw Error(ExitCode::usage, problem);
  };
  require(options.bits == 8 || options.bits == 16, concat("prepare.bits = ", options.bits, "; allowed: 8 or 16"));
  require(options.resize.empty() || options.resize.size() == 2, "prepare.resize must be [height, width]");
  require(options.window.empty() || (options.window.size() == 2 && options.window[0] < options.window[1]),
          "prepare.window must be two values, the lower first, as in [-160, 240]");
  require(options.intensity != "window" || options.window.size() == 2,
          "prepare.intensity is window, so prepare.window must be two values, the lower first, as in [-160, 240]");
  require(options.percentiles.size() == 2 && options.percentiles[0] < options.percentiles[1],
          "prepare.percentiles must be two values, the lower first, as in [0.5, 99.5]");
}

}  // namespace

ExitCode prepare(const PrepareConfig& config, const PrepareArguments& arguments) {
  const PrepareOptions& options = config.prepare;
  check(options);
  const auto began = Clock::now();
  install_stop_signals();
  Pseudonyms pseudonyms(read_salt(options.salt_file), options.names == "keep");
  if (options.names != "keep") log::name_no_subjects();
  if (!arguments.dry_run) check_apart(arguments.input, arguments.output);
  if (!arguments.dry_run && !arguments.names_table.empty()) check_table_place(arguments.names_table, arguments.output);
  const Plan plan = make_plan(arguments.input, options, pseudonyms);
  if (arguments.dry_run) {
    log::info(describe_plan(plan, pseudonyms));
    log::info("dry run: nothing was written");
    return ExitCode::ok;
  }
  OutputFolder folder(arguments.output);
  folder.begin(plan, pseudonyms, arguments.overwrite);
  log::add_file(folder.file("prepare.log"));
  log::info(concat("vmae ", version(), " (", git_revision(), ") prepare"));
  log::info(describe_plan(plan, pseudonyms));
  if (io::is_prepared(folder.path())) {
    const io::PreparedInfo finished = io::PreparedDataset(folder.path()).info();
    log::info(concat("nothing to do: this dataset is finished, digest ", finished.digest));
    if (!arguments.names_table.empty()) write_names(plan, folder, pseudonyms, arguments.names_table);
    return code_of(plan, finished);
  }
  if (!write_shards(plan, folder, options, pseudonyms)) {
    log::info(concat("stopped by ", stop_signal_name(), "; run the same command again to go on",
                     arguments.names_table.empty() ? "" : "; the names table is written at the end"));
    return ExitCode::stopped;
  }
  io::PreparedInfo info;
  info.options = content_options(options);
  info.layout = plan.layout;
  info.percentiles = options.percentiles;
  info.intensity = options.intensity;
  info.label_names = plan.label_names;
  info.channel_names = plan.channel_names;
  info.is_multi_label = plan.is_multi_label;
  for (const std::string& name : plan.mask_names) info.mask_names.push_back(pseudonyms.redact_name(name));
  info.has_masks = plan.has_masks;
  info.ignore_label = plan.ignore_label;
  info.regions = plan.regions;
  for (io::LabelRegion& region : info.regions) region.name = pseudonyms.redact_name(region.name);
  for (const PlannedShard& shard : plan.shards)
    info.shards.push_back({shard.file(), 0, static_cast<int64_t>(shard.num_cases), 0, 0});
  const io::PreparedInfo result = io::complete_info(folder.path(), info);
  write_lists(plan, result, folder, pseudonyms);
  fs::remove(folder.file("work.mdb"));
  io::write_index(folder.path(), result);
  uint64_t bytes = 0;
  for (const io::PreparedShard& shard : result.shards) bytes += fs::file_size(folder.file(shard.file));
  log::info(concat("prepared ", result.num_items, " slices of ", result.num_cases - result.num_failed, " cases in ",
                   human_seconds(seconds_since(began)), ", ", human_bytes(static_cast<double>(bytes)), "; left out ",
                   result.num_failed + static_cast<int64_t>(plan.refused.size()),
                   " (quarantine.jsonl), exact duplicates ", result.num_duplicates, " (duplicates.jsonl)"));
  log::info("digest " + result.digest);
  if (!arguments.names_table.empty()) write_names(plan, folder, pseudonyms, arguments.names_table);
  if (result.num_items == 0)
    throw Error(ExitCode::data, "no image could be prepared", "the reasons are in quarantine.jsonl");
  return code_of(plan, result);
}

}  // namespace vmae::run
