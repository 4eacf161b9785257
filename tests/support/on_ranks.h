#pragma once
// Ranks as threads of this process, over real sockets.
#include <thread>

#include "support/free_port.h"
#include "vmae/ranks/world.h"

namespace vmae::test {

inline void on_ranks(int64_t size, const std::function<void(train::World&)>& work) {
  const int port = free_port();
  std::vector<std::thread> ranks;
  for (int64_t r = 0; r < size; ++r) {
    ranks.emplace_back([&, r] {
      train::World world(Launch{.rank = r, .size = size, .local_rank = r, .master_port = port, .launcher = "test"});
      world.connect(at::kCPU, /*timeout_s=*/60);
      work(world);
      world.finish();
    });
  }
  for (std::thread& rank : ranks) rank.join();
}

}  // namespace vmae::test
