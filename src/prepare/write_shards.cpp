// Worker threads prepare cases; one thread writes them in their order, so that the result
// does not depend on who was faster. What is finished but not yet due waits, up to a limit.
#include "write_shards.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "case.h"
#include "vmae/cases/label_meaning.h"
#include "vmae/core/clock.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/core/machine.h"
#include "vmae/core/signals.h"
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

// A shard that cases are added to. What is not committed is lost where the process is killed.
class OpenShard {
 public:
  OpenShard(const fs::path& file, const PlannedShard& shard, io::DuplicateFinder& duplicates)
      : writer_(file, static_cast<int64_t>(shard.first_case)), duplicates_(duplicates) {}

  void add(const FinishedCase& finished) {
    writer_.add(finished.a_case, finished.items);
    uncommitted_bytes_ += finished.bytes();
    if (uncommitted_bytes_ > kCommitBytes || seconds_since(committed_at_) > kCommitSeconds) commit();
  }

  void commit() {
    duplicates_.commit();  // first: found again, these give the same answer
    writer_.commit();
    uncommitted_bytes_ = 0;
    committed_at_ = Clock::now();
  }

 private:
  io::ShardWriter writer_;
  io::DuplicateFinder& duplicates_;
  size_t uncommitted_bytes_ = 0;
  Clock::time_point committed_at_ = Clock::now();
};

// How many cases are there, where an earlier run stopped.
size_t count_written(const Plan& plan, const OutputFolder& folder) {
  size_t done = 0;
  for (const PlannedShard& shard : plan.shards) {
    if (!fs::exists(folder.file(shard.file()))) break;
    const auto there = static_cast<size_t>(
        io::ShardWriter(folder.file(shard.file()), static_cast<int64_t>(shard.first_case)).num_cases());
    done += there;
    if (there < shard.num_cases) break;
  }
  return done;
}

// Begins work.mdb anew, with the `done` cases that are there.
std::unique_ptr<io::DuplicateFinder> begin_duplicates(const Plan& plan, const OutputFolder& folder, size_t done) {
  fs::remove(folder.file("work.mdb"));
  auto duplicates = std::make_unique<io::DuplicateFinder>(folder.file("work.mdb"));
  for (const PlannedShard& shard : plan.shards) {
    if (done <= shard.first_case) break;
    duplicates->add_cases(folder.file(shard.file()), static_cast<int64_t>(shard.first_case),
                          static_cast<int64_t>(std::min(shard.num_cases, done - shard.first_case)));
  }
  return duplicates;
}

PrepareOptions with_axis_of(const Plan& plan, PrepareOptions options) {
  options.slice_axis = plan.slice_axis;
  return options;
}

// The cases from `done` on, one after the other, into their shards.
class ShardsWriter {
 public:
  ShardsWriter(const Plan& plan, const OutputFolder& folder, const PrepareOptions& options,
               const Pseudonyms& pseudonyms, size_t done)
      : plan_(plan),
        folder_(folder),
        options_(with_axis_of(plan, options)),
        done_(done),
        duplicates_(begin_duplicates(plan, folder, done)),
        progress_(plan, done),
        queue_(plan, options_, pseudonyms, done) {}

  // False if a signal stopped it.
  bool write_all() {
    for (const PlannedShard& shard : plan_.shards) {
      if (!write(shard)) return false;
    }
    progress_.finish();
    tell_of_labels(plan_, labels_);
    return true;
  }

 private:
  bool write(const PlannedShard& shard) {
    const size_t end = shard.first_case + shard.num_cases;
    if (done_ >= end) return true;
    OpenShard open(folder_.file(shard.file()), shard, *duplicates_);
    while (done_ < end) {
      if (stop_requested()) {
        open.commit();
        return false;
      }
      if (std::optional<FinishedCase> finished = queue_.take()) add(*finished, open);
    }
    open.commit();
    return true;
  }

  void add(FinishedCase& finished, OpenShard& shard) {
    const io::PreparedCase& one = finished.a_case;
    if (one.failure.empty()) {
      mark_duplicate(finished);
    } else {
      log::warning(concat("left out: case ", done_, " (", one.name, "): ", one.failure));
    }
    if (finished.mask_values)
      labels_.add(*finished.mask_values, concat("the mask of case ", done_, " (", one.name, ")"));
    shard.add(finished);
    progress_.update(++done_, static_cast<int64_t>(finished.items.size()));
  }

  // Notes the first case with the same pixels. Where duplicates are left out it
  // loses its slices, unless it is a further channel, which stays with its case.
  void mark_duplicate(FinishedCase& finished) {
    const auto number = static_cast<int64_t>(done_);
    const int64_t first = duplicates_->first_of(finished.a_case.pixels_sha256, number);
    if (first == number) return;
    finished.a_case.duplicate_of = first;
    if (options_.duplicates != "leave_out" || plan_.cases[done_].channel_of >= 0) return;
    finished.items.clear();
    finished.a_case.items_sha256 = io::items_digest({});
  }

  const Plan& plan_;
  const OutputFolder& folder_;
  PrepareOptions options_;  // slice_axis as the plan has it
  size_t done_;             // cases
  std::unique_ptr<io::DuplicateFinder> duplicates_;
  Progress progress_;
  CaseQueue queue_;
  io::LabelFacts labels_;
};

}  // namespace

bool write_shards(const Plan& plan, const OutputFolder& folder, const PrepareOptions& options,
                  const Pseudonyms& pseudonyms) {
  const size_t done = count_written(plan, folder);
  if (done > 0) log::info(concat(done, " of ", plan.cases.size(), " cases are there already"));
  if (done == plan.cases.size()) return true;
  return ShardsWriter(plan, folder, options, pseudonyms, done).write_all();
}

}  // namespace vmae::run
