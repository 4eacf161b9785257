// A queue of open batches. next() opens them in order, allocating their memory; workers take the samples
// of the oldest batch that has any left and write them into it; a batch is delivered when its last
// sample is done. The order of delivery is the order of opening, so threads decide nothing but speed.
#include "vmae/data/loader.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <optional>
#include <thread>

#include "vmae/core/clock.h"
#include "vmae/core/error.h"
#include "vmae/core/machine.h"

namespace vmae::data {
namespace {

// A batch being filled.
struct Slot {
  Batch batch;
  std::vector<int64_t> occurrences;  // of each: how often it came before in this epoch
  SampleBuffers buffers{};           // of the whole batch
  size_t num_taken = 0, num_done = 0;
  size_t first_failed = 0;
  std::exception_ptr error;  // of the first failed sample
  bool is_done() const { return num_done == batch.wanted.size(); }
};

void check(const LoaderOptions& options) {
  if (options.world_size < 1 || options.rank < 0 || options.rank >= options.world_size)
    throw Error(ExitCode::internal, concat("loader: rank ", options.rank, " of ", options.world_size));
  if (options.batch_size < options.world_size) {
    throw Error(ExitCode::usage,
                concat("train.batch_size = ", options.batch_size, " is smaller than the number of processes, ",
                       options.world_size),
                "it counts the samples of all processes together");
  }
}

}  // namespace

struct Loader::State {
  std::shared_ptr<const Dataset> dataset;
  LoaderOptions options;
  std::optional<AugmentOptions> augment;
  int64_t epochs;
  double wait_s = 0.0;

  // Of the consumer alone.
  Position opening;  // where the next batch to open begins
  int64_t first_epoch = 0, order_epoch = -1;
  std::vector<int64_t> order, order_occurrences;  // the latter empty where every sample comes once

  std::mutex mutex;
  std::condition_variable has_work, has_result;
  std::deque<std::unique_ptr<Slot>> slots;  // oldest first
  bool is_stopping = false;
  std::vector<std::thread> threads;

  ~State();
  void start(Position position);
  int64_t samples_per_epoch() const {
    const bool has_own = (options.shuffle || options.is_drawn) && options.samples_per_epoch > 0;
    return has_own ? options.samples_per_epoch : dataset->size();
  }
  void make_order();
  std::unique_ptr<Slot> make_slot();
  void fill_queue();
  void work();
  void load_sample(Slot& slot, size_t i) const;
};

void Loader::State::start(Position position) {
  opening = position.sample < samples_per_epoch() ? position : Position{position.epoch + 1, 0};
  first_epoch = opening.epoch;
  fill_queue();
  const int64_t num_workers = options.workers > 0 ? options.workers : usable_threads();
  for (int64_t i = 0; i < num_workers; ++i) threads.emplace_back([this] { work(); });
}

Loader::State::~State() {
  {
    const std::lock_guard lock(mutex);
    is_stopping = true;
  }
  has_work.notify_all();
  for (std::thread& thread : threads) thread.join();
}

void Loader::State::make_order() {
  const int64_t epoch = opening.epoch, n = dataset->size(), length = samples_per_epoch();
  order_epoch = epoch;
  order_occurrences.clear();
  if (options.is_drawn) {
    order.resize(static_cast<size_t>(length));
    std::iota(order.begin(), order.end(), int64_t{0});
    return;
  }
  const bool is_mixed = options.shuffle && !options.weights.empty(), is_one_pass = length == n && !is_mixed;
  const bool is_marked = options.shuffle && options.is_marked && options.marked_share > 0.0;
  if (is_mixed) {
    order = mixture_order(dataset->source_sizes(), options.weights, options.seed, epoch, length);
  } else {
    order = is_one_pass ? epoch_order(n, options.seed, epoch, options.shuffle)
                        : part_of_passes(n, length, options.seed, epoch);
    if (is_marked) {
      int64_t group = options.step_size > 0 ? options.step_size : options.batch_size;
      if (epoch == first_epoch && options.first_step_size > 0) group = options.first_step_size;
      order = marked_order(std::move(order), *options.is_marked, options.marked_share, group, options.seed, epoch);
    }
  }
  if (!is_one_pass || is_marked) order_occurrences = occurrences(order);
}

std::unique_ptr<Slot> Loader::State::make_slot() {
  const int64_t n = samples_per_epoch();
  if (opening.epoch != order_epoch) make_order();
  auto slot = std::make_unique<Slot>();
  int64_t end = std::min(n, opening.sample + options.batch_size);
  if (options.step_size > 0) end = std::min(end, (opening.sample / options.step_size + 1) * options.step_size);
  const auto want = [&](int64_t at) {
    slot->batch.wanted.push_back(order[static_cast<size_t>(at)]);
    slot->occurrences.push_back(order_occurrences.empty() ? 0 : order_occurrences[static_cast<size_t>(at)]);
  };
  for (int64_t i = opening.sample + options.rank; i < end; i += options.world_size) want(i);
  slot->batch.num_samples = end - opening.sample;
  slot->batch.counts = !slot->batch.wanted.empty();
  if (slot->batch.wanted.empty()) want(opening.sample);
  const auto size = static_cast<int64_t>(slot->batch.wanted.size());
  const ImageOptions& image = dataset->image_options();
  const int64_t height = image.image_size[0], width = image.image_size[1], num_labels = dataset->targets().num_labels;
  Batch& batch = slot->batch;
  const auto make = [&](at::IntArrayRef shape, at::ScalarType type) {
    return at::empty(shape, at::TensorOptions(type).pinned_memory(options.pin_memory));
  };
  batch.image = make({options.has_two_views ? 2 * size : size, image.in_channels, height, width}, at::kFloat);
  slot->buffers.image = batch.image.data_ptr<float>();
  if (dataset->targets().mask) {
    batch.mask = make({size, height, width}, at::kByte);
    slot->buffers.mask = batch.mask.data_ptr<uint8_t>();
  }
  if (num_labels > 0) {
    batch.labels = make({size, num_labels}, at::kFloat);
    slot->buffers.labels = batch.labels.data_ptr<float>();
  }
  batch.indices.resize(batch.wanted.size());
  batch.seeds.resize(batch.wanted.size());
  slot->batch.position = opening;
  opening = end < n ? Position{opening.epoch, end} : Position{opening.epoch + 1, 0};
  slot->batch.next = opening;
  return slot;
}

void Loader::State::fill_queue() {
  while (slots.size() < static_cast<size_t>(options.prefetch) && (epochs < 0 || opening.epoch < epochs)) {
    std::unique_ptr<Slot> slot = make_slot();
    const std::lock_guard lock(mutex);
    slots.push_back(std::move(slot));
    has_work.notify_all();
  }
}

void Loader::State::load_sample(Slot& slot, size_t i) const {
  const ImageOptions& image = dataset->image_options();
  const auto nth = static_cast<int64_t>(i);
  const int64_t plane = image.image_size[0] * image.image_size[1], pixels = image.in_channels * plane;
  SampleBuffers buffers{slot.buffers.image + nth * pixels};
  if (options.has_two_views) buffers.second_view = buffers.image + std::ssize(slot.batch.wanted) * pixels;
  if (slot.buffers.mask != nullptr) buffers.mask = slot.buffers.mask + nth * plane;
  if (slot.buffers.labels != nullptr) buffers.labels = slot.buffers.labels + nth * dataset->targets().num_labels;
  const int64_t epoch = slot.batch.position.epoch;
  const Loaded loaded = dataset->load_readable_into(slot.batch.wanted[i], options.seed, epoch,
                                                    augment ? &*augment : nullptr, buffers, slot.occurrences[i]);
  slot.batch.indices[i] = loaded.index;
  slot.batch.seeds[i] = Dataset::sample_seed(options.seed, epoch, loaded.index, loaded.repeat);
}

void Loader::State::work() {
  std::unique_lock lock(mutex);
  while (!is_stopping) {
    const auto found = std::find_if(slots.begin(), slots.end(),
                                    [](const auto& slot) { return slot->num_taken < slot->batch.wanted.size(); });
    if (found == slots.end()) {
      has_work.wait(lock);
      continue;
    }
    Slot& slot = **found;  // stays alive until all of its samples are done
    const size_t i = slot.num_taken++;
    lock.unlock();
    std::exception_ptr error;
    try {
      load_sample(slot, i);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error && (!slot.error || i < slot.first_failed)) {
      slot.error = error;
      slot.first_failed = i;
    }
    ++slot.num_done;
    if (slot.is_done()) has_result.notify_all();
  }
}

Loader::Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options, const AugmentOptions* augment,
               Position start, int64_t epochs)
    : state_(std::make_unique<State>()) {
  check(options);
  State& state = *state_;
  state.dataset = std::move(dataset);
  state.options = std::move(options);
  state.options.prefetch = std::max<int64_t>(1, state.options.prefetch);
  if (augment) {
    check(*augment);
    state.augment = *augment;
  }
  state.epochs = epochs;
  state.start(start);
}

Loader::~Loader() = default;

void Loader::restart(Position start) {
  auto fresh = std::make_unique<State>();
  fresh->dataset = state_->dataset;
  fresh->options = state_->options;
  fresh->options.first_step_size = 0;
  fresh->augment = state_->augment;
  fresh->epochs = state_->epochs;
  fresh->wait_s = state_->wait_s;
  state_ = std::move(fresh);  // its workers end
  state_->start(start);
}

bool Loader::next(Batch& batch) {
  State& state = *state_;
  if (state.slots.empty()) return false;
  std::unique_ptr<Slot> slot;
  {
    std::unique_lock lock(state.mutex);
    const Slot& oldest = *state.slots.front();
    const auto began = Clock::now();
    state.has_result.wait(lock, [&oldest] { return oldest.is_done(); });
    state.wait_s += seconds_since(began);
    if (oldest.error) std::rethrow_exception(oldest.error);
    slot = std::move(state.slots.front());
    state.slots.pop_front();
  }
  batch = std::move(slot->batch);
  state.fill_queue();
  return true;
}

const Dataset& Loader::dataset() const { return *state_->dataset; }

const LoaderOptions& Loader::options() const { return state_->options; }

double Loader::wait_s() const { return state_->wait_s; }

}  // namespace vmae::data
