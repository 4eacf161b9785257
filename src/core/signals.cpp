// The handler only stores the first signal's number. SIGINT is reset by its
// first delivery (SA_RESETHAND), so that a second Ctrl-C ends the process.
#include "vmae/core/signals.h"

#include <array>
#include <atomic>
#include <csignal>

namespace vmae {
namespace {

struct StopSignal {
  int number;
  const char* name;
};
constexpr std::array<StopSignal, 4> kStopSignals = {
    {{SIGTERM, "SIGTERM"}, {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"}, {SIGINT, "SIGINT"}}};

std::atomic<int> first_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may only use lock-free atomics");

void remember_signal(int number) {
  int none = 0;
  first_signal.compare_exchange_strong(none, number);
}

}  // namespace

void install_stop_signals() {
  for (const StopSignal& signal : kStopSignals) {
    struct sigaction action {};
    action.sa_handler = remember_signal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART | (signal.number == SIGINT ? SA_RESETHAND : 0);
    sigaction(signal.number, &action, nullptr);
  }
}

bool stop_requested() { return first_signal.load() != 0; }

const char* stop_signal_name() {
  for (const StopSignal& signal : kStopSignals) {
    if (signal.number == first_signal.load()) return signal.name;
  }
  return "";
}

}  // namespace vmae
