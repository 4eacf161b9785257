#include "vmae/core/counting.h"
#include "vmae/core/clock.h"

#include <mutex>
#include <utility>

namespace vmae {
namespace {

struct Listening {
  std::mutex mutex;
  std::function<void(const Counted&)> listener;
};

Listening& listening() {
  static Listening& instance = *new Listening;  // never destroyed: threads may still count
  return instance;
}

void tell(const Counted& counted) {
  Listening& l = listening();
  const std::lock_guard lock(l.mutex);
  if (l.listener) l.listener(counted);
}

}  // namespace

void set_counting_listener(std::function<void(const Counted&)> listener) {
  Listening& l = listening();
  const std::lock_guard lock(l.mutex);
  l.listener = std::move(listener);
}

Counting::Counting(std::string what, int64_t total) : what_(std::move(what)), total_(total), start_(Clock::now()) {
  told_at_ = start_.time_since_epoch().count();
}

Counting::~Counting() {
  Counted last = counted();
  last.is_over = true;
  tell(last);
}

Counted Counting::counted() const { return {what_, done_, total_, seconds_since(start_)}; }

void Counting::add(int64_t n) {
  done_ += n;
  const auto now = Clock::now().time_since_epoch();
  Clock::rep before = told_at_;
  if (now - Clock::duration(before) < std::chrono::milliseconds(100)) return;
  if (told_at_.compare_exchange_strong(before, now.count())) tell(counted());  // of several threads one
}

}  // namespace vmae
