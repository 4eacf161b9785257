#pragma once
// Where ranks find each other and learn of each other's failures: keys in c10d's TCPStore.
//   card/R      host, machine, network and CPUs of rank R; beat/R: counts the seconds that it has lived
//   device/R    "cpu" or "cuda UUID": what rank R trains on
//   failures    how many ranks have failed; failed/R: what it said; alive/R: rank R has seen that there was a failure
//   ended       exit code of the run, written by rank 0 once it has printed why
#include <atomic>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "vmae/core/error.h"
#include "vmae/core/launch.h"

namespace vmae::train {

std::string reason_of(const std::exception& problem);  // c10d's message in one line, without its source files

class Rendezvous {
 public:
  explicit Rendezvous(Launch launch);  // connects to rank 0's store (or opens it) and watches for failures from then on
  ~Rendezvous();

  const Launch& launch() const { return launch_; }
  c10::intrusive_ptr<c10d::Store> store() const { return store_; }
  // Until each has said what it trains on (device/R). Error(internal) names the ranks that did not come.
  void wait_for_all(double timeout_s);
  struct Card {
    std::string host;  // to print: names are not always different
    // the running kernel, its network namespace, and where this process may run: equal where they are shared
    std::string machine, network, cpus;
  };
  Card card(int64_t rank);
  void put(const std::string& key, const std::string& value);
  std::string wait_for(const std::string& key);  // for any time; LostContact if the store is gone

  // Why the watcher ended before its time, in brackets behind a space; ""
  // where it has not. Until the next collective nobody hears of failures then.
  std::string watch_problem() const;

  void leave();  // all is well: rank 0 stays until all others have called it
  [[noreturn]] void fail(const Error& error, bool has_lost_contact);

 private:
  void watch();
  void watch_until_leaving();
  bool some_are_silent();                      // rank 0, about once a second
  void report_failures();                      // rank 0
  void follow_to_the_end(const Error& error);  // the others
  void wait_until_reachable() const;
  c10::intrusive_ptr<c10d::Store> connect(bool is_server) const;
  std::string place() const;

  Launch launch_;
  c10::intrusive_ptr<c10d::Store> store_, watch_store_;
  std::atomic<bool> is_leaving_ = false, all_came_ = false, is_reporting_ = false;
  std::atomic<double> silence_limit_s_ = 30;
  mutable std::mutex watch_mutex_;
  std::string watch_problem_;
  std::thread watcher_;
  struct Beat {
    int64_t count = 0;
    std::chrono::steady_clock::time_point changed;
  };
  std::vector<Beat> beats_;
  std::chrono::steady_clock::time_point last_look_;
};

}  // namespace vmae::train
