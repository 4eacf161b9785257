#include "process_group.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "vmae/core/error.h"
#include "vmae/cuda/library.h"

namespace vmae::train {

namespace {

std::string address_text(const sockaddr* address, socklen_t length) {
  char text[NI_MAXHOST];
  return getnameinfo(address, length, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0 ? text : "";
}

// Our own address on the way to `host`: what a socket gets that is
// connected there. UDP: nothing is sent. "" if there is no way.
std::string address_towards(const std::string& host, int64_t port) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_DGRAM;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return "";
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    const int fd = socket(one->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_storage own{};
    socklen_t length = sizeof own;
    const bool is_known = connect(fd, one->ai_addr, one->ai_addrlen) == 0 &&
                          getsockname(fd, reinterpret_cast<sockaddr*>(&own), &length) == 0;
    close(fd);
    if (is_known) return address_text(reinterpret_cast<sockaddr*>(&own), length);
  }
  return "";
}

bool is_loopback(const std::string& address) { return address.starts_with("127.") || address == "::1"; }

// The first address of another interface: Debian's /etc/hosts calls
// a machine's own name 127.0.1.1, where nobody else finds it.
std::string address_for_others() {
  ifaddrs* found = nullptr;
  if (getifaddrs(&found) != 0) return "";
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> interfaces(found, &freeifaddrs);
  for (const ifaddrs* one = found; one != nullptr; one = one->ifa_next) {
    const bool is_usable = one->ifa_addr != nullptr && one->ifa_addr->sa_family == AF_INET &&
                           (one->ifa_flags & IFF_UP) != 0 && (one->ifa_flags & IFF_LOOPBACK) == 0;
    if (is_usable) return address_text(one->ifa_addr, sizeof(sockaddr_in));
  }
  return "";
}

std::shared_ptr<gloo::transport::Device> gloo_device(const Launch& launch, bool is_one_host) {
  if (const char* interface = std::getenv("GLOO_SOCKET_IFNAME"); interface != nullptr && *interface != '\0')
    return c10d::ProcessGroupGloo::createDeviceForInterface(interface);
  if (is_one_host) return c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1");
  std::string address = address_towards(launch.master_address, launch.master_port);
  if (address.empty() || is_loopback(address)) address = address_for_others();
  if (address.empty())
    throw Error(ExitCode::internal,
                concat("no network interface of this host leads to MASTER_ADDR=", launch.master_address),
                "set GLOO_SOCKET_IFNAME, for example eth0");
  return c10d::ProcessGroupGloo::createDeviceForHostname(address);
}

}  // namespace

c10::intrusive_ptr<c10d::ProcessGroup> make_process_group(const c10::intrusive_ptr<c10d::Store>& store,
                                                          const Launch& launch, at::Device device, double timeout_s,
                                                          bool is_one_host) {
  const auto rank = static_cast<int>(launch.rank), size = static_cast<int>(launch.size);
  const auto timeout = std::chrono::milliseconds(static_cast<int64_t>(1000 * timeout_s));
  auto group = c10::make_intrusive<c10d::ProcessGroup>(store, rank, size);
  if (device.is_cuda()) group->setBoundDeviceId(device);  // before setBackend(), which copies it
  auto gloo_options = c10d::ProcessGroupGloo::Options::create(timeout);
  gloo_options->devices.push_back(gloo_device(launch, is_one_host));
  const auto gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(c10::make_intrusive<c10d::PrefixStore>("gloo", store),
                                                                rank, size, gloo_options);
  group->setDefaultBackend(device.is_cuda() ? c10d::ProcessGroup::BackendType::NCCL
                                            : c10d::ProcessGroup::BackendType::GLOO);
  group->setBackend(at::kCPU, c10d::ProcessGroup::BackendType::GLOO, gloo);
  if (device.is_cuda()) {
    const auto nccl = cuda::library()->nccl(c10::make_intrusive<c10d::PrefixStore>("nccl", store), rank, size, timeout);
    group->setBackend(at::kCUDA, c10d::ProcessGroup::BackendType::NCCL, nccl);
    group->setGroupName("0");
    nccl->eagerConnectSingleDevice(device);  // the communicator now, not inside the first backward pass or a capture
  }
  return group;
}

}  // namespace vmae::train
