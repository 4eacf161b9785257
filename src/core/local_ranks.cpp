// Signals are blocked and taken one by one with sigtimedwait(),
// so nothing happens between two lines that is not written here.
#include <arpa/inet.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "vmae/core/clock.h"
#include "vmae/core/error.h"
#include "vmae/core/launch.h"
#include "vmae/core/log.h"

namespace vmae {
namespace {

constexpr std::chrono::seconds kGrace{10};

int free_port() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool is_bound = bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
                        getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0;
  close(fd);
  if (!is_bound) throw Error(ExitCode::internal, concat("no free port on 127.0.0.1: ", std::strerror(errno)));
  return ntohs(address.sin_port);
}

pid_t start(const std::vector<std::string>& arguments, const sigset_t& mask) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = getpid(), child = fork();
  if (child < 0) throw Error(ExitCode::internal, concat("a rank can't be started: ", std::strerror(errno)));
  if (child > 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  execv("/proc/self/exe", argv.data());
  _exit(127);
}

}  // namespace

bool is_local_rank() { return std::getenv(kLocalLaunchMark) != nullptr; }

int run_local_ranks(int64_t count, const std::vector<std::string>& arguments) {
  sigset_t taken, before;
  sigemptyset(&taken);
  for (const int number : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGCHLD}) sigaddset(&taken, number);
  sigprocmask(SIG_BLOCK, &taken, &before);

  const auto set = [](const char* name, int64_t value) { setenv(name, std::to_string(value).c_str(), 1); };
  set(kLocalLaunchMark, 1);
  set("WORLD_SIZE", count);
  set("LOCAL_WORLD_SIZE", count);
  set("MASTER_PORT", free_port());
  setenv("MASTER_ADDR", "127.0.0.1", 1);
  std::vector<pid_t> ranks(static_cast<size_t>(count));  // 0: ended
  for (int64_t i = 0; i < count; ++i) {
    set("RANK", i);
    set("LOCAL_RANK", i);
    ranks[static_cast<size_t>(i)] = start(arguments, before);
  }
  const auto pass_on = [&ranks](int number) {
    for (const pid_t rank : ranks) {
      if (rank > 0) kill(rank, number);
    }
  };

  int code = 0;
  bool has_failed = false;
  Clock::time_point failed_at;
  for (auto running = ranks.size(); running > 0;) {
    siginfo_t info{};
    const timespec tick{1, 0};
    const int number = sigtimedwait(&taken, &info, &tick);
    // A terminal sends Ctrl-C to the ranks too.
    if (number > 0 && number != SIGCHLD && !(number == SIGINT && info.si_code == SI_KERNEL)) pass_on(number);
    int status = 0;
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
      const auto rank = std::find(ranks.begin(), ranks.end(), pid);
      if (rank == ranks.end()) continue;
      *rank = 0;
      --running;
      const int ended_with = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
      if (has_failed || ended_with == 0) continue;
      code = ended_with;
      if (ended_with == static_cast<int>(ExitCode::stopped)) continue;
      has_failed = true;
      failed_at = Clock::now();
      if (WIFSIGNALED(status))
        log::error(concat("rank ", rank - ranks.begin(), " of ", count, " was ended by signal ", WTERMSIG(status), " (",
                          strsignal(WTERMSIG(status)), ")"));
    }
    if (has_failed && Clock::now() - failed_at > kGrace) pass_on(SIGKILL);
  }
  return code;
}

}  // namespace vmae
