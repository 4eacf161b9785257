#include "vmae/core/signals.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

namespace vmae {
namespace {

// Signals change the whole process, so that each case has a child of its own. Gives the raw wait status.
template <class Body>
int in_child(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

TEST(Signals, NoneAtFirst) {
  EXPECT_FALSE(stop_requested());
  EXPECT_STREQ(stop_signal_name(), "");
}

TEST(Signals, EachOneAsksToStop) {
  const struct {
    int number;
    const char* name;
  } cases[] = {{SIGTERM, "SIGTERM"}, {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"}, {SIGINT, "SIGINT"}};
  for (const auto& [number, name] : cases) {
    const int status = in_child([number = number, name = name] {
      install_stop_signals();
      if (stop_requested()) return 1;
      raise(number);
      return stop_requested() && std::strcmp(stop_signal_name(), name) == 0 ? 42 : 2;
    });
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 42) << name;
  }
}

TEST(Signals, TheFirstOneIsRemembered) {
  const int status = in_child([] {
    install_stop_signals();
    raise(SIGUSR1);
    raise(SIGTERM);
    raise(SIGTERM);
    raise(SIGINT);
    return std::strcmp(stop_signal_name(), "SIGUSR1") == 0 ? 42 : 2;
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

TEST(Signals, ASecondInterruptEndsTheProcess) {
  const int status = in_child([] {
    install_stop_signals();
    raise(SIGINT);
    raise(SIGINT);
    return 42;
  });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
}

}  // namespace
}  // namespace vmae
