// A failing rank writes what it has to say and waits for rank 0, which prints it and answers
// with `ended`. Ranks that hang in a collective with the failed one are ended by their watcher.
// Everything here has a bound: a store that no longer answers must not hold up the end (fail()).
#include "rendezvous.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "vmae/core/atomic_file.h"
#include "vmae/core/clock.h"
#include "vmae/core/json_text.h"
#include "vmae/core/log.h"
#include "vmae/core/machine.h"
#include "vmae/core/signals.h"
#include "vmae/ranks/world.h"

namespace vmae::train {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
constexpr milliseconds kPoll{50};
constexpr seconds kConnectLimit{300};  // for a rank of a node that starts late
constexpr seconds kHearLimit{3};       // rank 0 waits that long for what the others have to say
constexpr seconds kOwnEndLimit{2};     // a rank whose watcher hears of a failure gets that long to end by itself
constexpr seconds kEndLimit{12};       // from a failure to the end of its process, whatever the network does

std::string numbered(const char* key, int64_t rank) { return concat(key, "/", rank); }

bool can_reach(const std::string& host, int64_t port) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return false;
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);
  bool is_reached = false;
  for (const addrinfo* one = found; one != nullptr && !is_reached; one = one->ai_next) {
    const int fd = socket(one->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    pollfd ready{fd, POLLOUT, 0};
    int problem = 0;
    socklen_t length = sizeof problem;
    is_reached = connect(fd, one->ai_addr, one->ai_addrlen) == 0 ||
                 (errno == EINPROGRESS && ::poll(&ready, 1, /*ms=*/1000) == 1 &&
                  getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &length) == 0 && problem == 0);
    close(fd);
  }
  return is_reached;
}

// Before there is anything to save. A launcher that stops the ranks
// because one has failed gives the watcher time to say which.
void end_if_stopped() {
  if (!stop_requested()) return;
  std::this_thread::sleep_for(kOwnEndLimit + kHearLimit);
  throw Error(ExitCode::stopped, concat("stopped by ", stop_signal_name(), " before all ranks were there"),
              "nothing was trained: start again with the same command");
}

[[noreturn]] void end(int code) { std::_Exit(code); }  // no destructors: they could wait for other ranks

void print(const std::string& what, const std::string& hint) {
  log::set_level(log::Level::info);
  log::error(what);
  if (!hint.empty()) log::error("  " + hint);
}

}  // namespace

LostContact::LostContact(const std::string& what)
    : Error(
          ExitCode::internal, what,
          "if a rank was killed or its host is gone: start again with --resume; if it was slow: raise run.timeout_s") {}

std::string reason_of(const std::exception& problem) {
  std::string text = problem.what();
  text = text.substr(0, text.find('\n'));
  if (text.starts_with('[') && text.find("] ") != std::string::npos) text = text.substr(text.find("] ") + 2);
  return text.substr(0, text.find(". This is typically"));
}

Rendezvous::Rendezvous(Launch launch) : launch_(std::move(launch)) {
  const bool is_server = launch_.rank == 0 && !launch_.agent_hosts_store;
  if (!is_server) wait_until_reachable();
  store_ = connect(is_server);
  watch_store_ = connect(/*is_server=*/false);
  std::error_code ignored;  // without it machines are told apart by their kernels alone
  const std::string machine(trim(read_file("/proc/sys/kernel/random/boot_id"))),
      network = std::filesystem::read_symlink("/proc/self/ns/net", ignored).string();
  try {
    store_->add(numbered("beat", launch_.rank), 1);
    put(numbered("card", launch_.rank), join({host_name(), machine, machine + network, cpu_affinity()}, "\n"));
  } catch (const std::exception& problem) {
    throw LostContact(concat(place(), " lost contact with rank 0: ", reason_of(problem)));
  }
  watcher_ = std::thread([this] { watch(); });
}

Rendezvous::~Rendezvous() {
  is_leaving_ = true;
  if (watcher_.joinable()) watcher_.join();
}

// The store's own attempts can't be interrupted, and go on for longer than it is told.
void Rendezvous::wait_until_reachable() const {
  const auto limit = Clock::now() + kConnectLimit;
  while (Clock::now() < limit && !can_reach(launch_.master_address, launch_.master_port)) {
    end_if_stopped();
    std::this_thread::sleep_for(2 * kPoll);
  }
}

c10::intrusive_ptr<c10d::Store> Rendezvous::connect(bool is_server) const {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(launch_.master_port);
  options.isServer = is_server;
  options.numWorkers = static_cast<size_t>(launch_.size);
  options.waitWorkers = false;
  options.timeout = std::chrono::seconds(30);
  try {
    // The agent's store outlives a restart of the ranks: keys of another attempt must not be seen.
    return c10::make_intrusive<c10d::PrefixStore>(concat("vmae/", launch_.attempt),
                                                  c10::make_intrusive<c10d::TCPStore>(launch_.master_address, options));
  } catch (const std::exception& problem) {
    throw Error(
        ExitCode::internal,
        concat("rank ", launch_.rank, " of ", launch_.size, " can't ", options.isServer ? "listen on" : "reach",
               " MASTER_ADDR=", launch_.master_address, " MASTER_PORT=", launch_.master_port, ": ", reason_of(problem)),
        options.isServer ? "another program may use that port: set MASTER_PORT to a free one"
                         : "check that rank 0 was started, and that its host and port can be reached");
  }
}

std::string Rendezvous::place() const {
  return concat("rank ", launch_.rank, " of ", launch_.size, " (", host_name(), ")");
}

void Rendezvous::put(const std::string& key, const std::string& value) { store_->set(key, value); }

Rendezvous::Card Rendezvous::card(int64_t rank) {
  std::istringstream lines(watch_store_->get_to_str(numbered("card", rank)));
  Card card;
  for (std::string* line : {&card.host, &card.machine, &card.network, &card.cpus}) std::getline(lines, *line);
  return card;
}

void Rendezvous::wait_for_all(double timeout_s) {
  const auto start = Clock::now();
  bool has_said = false;
  while (true) {
    std::vector<std::string> missing;
    for (int64_t r = 0; r < launch_.size; ++r) {
      if (!store_->check({numbered("card", r), numbered("device", r)})) missing.push_back(std::to_string(r));
    }
    end_if_stopped();
    if (missing.empty()) {
      silence_limit_s_ = std::min(silence_limit_s_.load(), timeout_s);
      all_came_ = true;
      return;
    }
    const double waited_s = seconds_since(start);
    const std::string who = concat(missing.size() == 1 ? "rank " : "ranks ", join(missing, ", "), " of ", launch_.size);
    if (waited_s > timeout_s)
      throw Error(ExitCode::internal, concat(who, " did not come within ", human_seconds(timeout_s)),
                  "check that all of them were started (srun or torchrun, not the bare program in a batch script); "
                  "run.timeout_s is the limit");
    if (waited_s > 10 && !has_said) log::info(concat("waiting for ", who));
    has_said |= waited_s > 10;
    std::this_thread::sleep_for(kPoll);
  }
}

std::string Rendezvous::wait_for(const std::string& key) {
  try {
    while (!store_->check({key})) std::this_thread::sleep_for(4 * kPoll);
    return store_->get_to_str(key);
  } catch (const std::exception& problem) {
    throw LostContact(concat(place(), " lost contact with rank 0: ", reason_of(problem)));
  }
}

void Rendezvous::leave() {
  is_leaving_ = true;
  watcher_.join();
  try {
    put(numbered("left", launch_.rank), "");
    if (launch_.rank != 0 || launch_.agent_hosts_store) return;
    const auto limit = Clock::now() + kHearLimit;
    for (int64_t r = 1; r < launch_.size; ++r) {
      while (!store_->check({numbered("left", r)}) && Clock::now() < limit) std::this_thread::sleep_for(kPoll);
    }
  } catch (const std::exception&) {  // a rank that left earlier has taken the store with it
  }
}

// Runs in its own thread, with its own connection. Where the store is gone the next collective will notice,
// and names the reason (watch_problem()); a rank that computes alone for long does no harm until then.
void Rendezvous::watch() {
  try {
    watch_until_leaving();
  } catch (const std::exception& problem) {
    if (is_leaving_) return;  // the others have left, and rank 0 has taken the store with it
    const std::string reason = reason_of(problem);
    log::warning(concat(
        place(), " can't watch the other ranks any more, and will hear of a failure only when it next waits for them: ",
        reason));
    const std::lock_guard lock(watch_mutex_);
    watch_problem_ = concat(" (its watch over the others had ended: ", reason, ")");
  }
}

void Rendezvous::watch_until_leaving() {
  for (int64_t round = 0; !is_leaving_; ++round) {
    if (round % 2 == 0) watch_store_->add(numbered("beat", launch_.rank), 1);
    if (round % 2 == 0 && launch_.rank == 0 && all_came_ && some_are_silent()) watch_store_->set("failures", "");
    if (watch_store_->check({"failures"})) {
      watch_store_->set(numbered("alive", launch_.rank), "");
      const auto limit = Clock::now() + kOwnEndLimit;
      while (!is_leaving_ && Clock::now() < limit) std::this_thread::sleep_for(kPoll);
      if (is_leaving_) return;
      if (launch_.rank == 0) report_failures();
      follow_to_the_end(LostContact(concat(place(), " was told that another rank failed, but not which")));
    }
    std::this_thread::sleep_for(10 * kPoll);
  }
}

std::string Rendezvous::watch_problem() const {
  const std::lock_guard lock(watch_mutex_);
  return watch_problem_;
}

// A process that was killed or stopped counts no further, whatever its main thread was waiting for.
bool Rendezvous::some_are_silent() {
  beats_.resize(static_cast<size_t>(launch_.size));
  const auto now = Clock::now();
  // A long time since the last call: this process was stopped itself,
  // and with it perhaps all of the job (a scheduler that suspends it).
  const bool was_away = now - last_look_ > kOwnEndLimit + kHearLimit;
  last_look_ = now;
  bool is_silent = false;
  for (size_t r = 0; r < beats_.size(); ++r) {
    const int64_t count = watch_store_->add(numbered("beat", static_cast<int64_t>(r)), 0);
    if (count != beats_[r].count || was_away) beats_[r] = {count, now};
    is_silent |= seconds_between(beats_[r].changed, now) > silence_limit_s_;
  }
  return is_silent;
}

void Rendezvous::report_failures() {
  // The main thread and the watcher may both come here; what is said is said once.
  if (is_reporting_.exchange(true)) std::this_thread::sleep_for(kEndLimit);
  c10d::Store& store = *watch_store_;
  std::vector<nlohmann::json> failed(static_cast<size_t>(launch_.size));
  std::vector<bool> is_alive(static_cast<size_t>(launch_.size));
  is_alive[0] = true;
  const auto limit = Clock::now() + kHearLimit;
  for (bool is_complete = false; !is_complete && Clock::now() < limit; std::this_thread::sleep_for(kPoll)) {
    is_complete = true;
    for (int64_t r = 0; r < launch_.size; ++r) {
      const auto i = static_cast<size_t>(r);
      if (failed[i].is_null() && store.check({numbered("failed", r)}))
        failed[i] = nlohmann::json::parse(store.get_to_str(numbered("failed", r)));
      is_alive[i] = is_alive[i] || !failed[i].is_null() || store.check({numbered("alive", r)});
      is_complete &= is_alive[i];
    }
  }
  // What went wrong on its own counts; that others then lost contact does not. A
  // rank that went on computing may speak later: no error is kept waiting for it.
  std::vector<std::string> gone;
  int64_t first = -1;
  for (int64_t r = launch_.size - 1; r >= 0; --r) {
    const auto i = static_cast<size_t>(r);
    const bool is_own = !failed[i].is_null() && !failed[i].at("lost").get<bool>();
    const bool was_stopped = is_own && failed[i].at("code") == static_cast<int>(ExitCode::stopped);
    if (is_own && (!was_stopped || first < 0)) first = r;
    if (!is_alive[i])
      gone.insert(gone.begin(), concat(r, store.check({numbered("card", r)}) ? " (" + card(r).host + ")" : ""));
  }
  int code = static_cast<int>(ExitCode::internal);
  if (first >= 0) {
    const auto& one = failed[static_cast<size_t>(first)];
    int64_t same = 0;
    for (const auto& other : failed) same += !other.is_null() && other.at("what") == one.at("what") ? 1 : 0;
    code = one.at("code");
    const std::string what = one.at("what");
    print(first == 0 || same == launch_.size
              ? what
              : concat("rank ", first, " of ", launch_.size, " (", card(first).host, "): ", what),
          one.at("hint"));
  } else {
    std::string what = "ranks lost contact with each other", detail;
    for (const auto& one : failed) {
      if (detail.empty() && !one.is_null()) detail = one.at("what");
    }
    if (!gone.empty()) what = concat("lost contact with rank ", join(gone, ", "), " of ", launch_.size);
    print(detail.empty() ? what : concat(what, " (", detail, ")"), LostContact("").hint());
  }
  store.set("ended", std::to_string(code));
  std::this_thread::sleep_for(10 * kPoll);  // the store is here: the others read it first
  end(code);
}

void Rendezvous::follow_to_the_end(const Error& error) {
  int code = static_cast<int>(error.code());
  try {
    const auto limit = Clock::now() + 2 * kHearLimit + kOwnEndLimit;
    while (!watch_store_->check({"ended"}) && Clock::now() < limit) std::this_thread::sleep_for(kPoll);
    if (watch_store_->check({"ended"}))
      end(static_cast<int>(parse_integer(watch_store_->get_to_str("ended")).value_or(code)));
  } catch (const std::exception&) {  // rank 0 is gone
  }
  print(concat(place(), ": ", error.what(), watch_problem()), error.hint());
  end(code);
}

void Rendezvous::fail(const Error& error, bool has_lost_contact) {
  is_leaving_ = true;
  std::thread([this, error, has_lost_contact] {
    try {
      const std::string what = error.what() + watch_problem();
      const nlohmann::json record = {
          {"code", static_cast<int>(error.code())}, {"what", what}, {"hint", error.hint()}, {"lost", has_lost_contact}};
      watch_store_->set(numbered("failed", launch_.rank), json_text(record));
      watch_store_->set("failures", "");
      if (launch_.rank == 0) report_failures();
    } catch (const std::exception&) {  // rank 0, and the store with it, is gone
    }
    follow_to_the_end(error);
  }).detach();
  std::this_thread::sleep_for(kEndLimit);
  print(concat(place(), ": ", error.what(), watch_problem()), error.hint());
  end(static_cast<int>(error.code()));
}

}  // namespace vmae::train
