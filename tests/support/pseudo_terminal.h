#pragma once
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

namespace vmae::test {

// Standard error is a pseudo terminal for as long as this lives.
class PseudoTerminal {
 public:
  explicit PseudoTerminal(unsigned short columns) : saved_(dup(STDERR_FILENO)), near_(posix_openpt(O_RDWR | O_NOCTTY)) {
    if (near_ < 0 || grantpt(near_) != 0 || unlockpt(near_) != 0) throw std::runtime_error("no pseudo terminal");
    far_ = open(ptsname(near_), O_RDWR | O_NOCTTY);
    const winsize size{24, columns, 0, 0};
    ioctl(far_, TIOCSWINSZ, &size);
    dup2(far_, STDERR_FILENO);
  }
  ~PseudoTerminal() {
    dup2(saved_, STDERR_FILENO);
    for (const int descriptor : {saved_, near_, far_}) close(descriptor);
  }
  std::string shown() {
    std::string out;
    char buffer[4096];
    pollfd ready{near_, POLLIN, 0};
    while (poll(&ready, 1, 0) > 0) {
      const ssize_t count = read(near_, buffer, sizeof buffer);
      if (count <= 0) break;
      out.append(buffer, static_cast<size_t>(count));
    }
    return out;
  }

 private:
  int saved_, near_, far_ = -1;
};

}  // namespace vmae::test
