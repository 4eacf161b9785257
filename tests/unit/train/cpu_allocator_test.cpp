#include "vmae/train/cpu_allocator.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <thread>

namespace vmae::train {
namespace {

// Installed for this executable's whole life from here on: every later test runs on it too.
TEST(CpuAllocator, GivesAlignedMemoryOfItsOwnToEveryTensor) {
  install_cpu_allocator();
  std::vector<at::Tensor> tensors;
  for (int64_t size = 0; size < 5000; size += 37) tensors.push_back(at::full({size}, static_cast<double>(size)));
  for (const int64_t size : {300'000, 262'144, 262'145, 5'000'000})
    tensors.push_back(at::full({size}, static_cast<double>(size)));
  for (const auto& tensor : tensors) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data_ptr()) % 64, 0U);
    if (tensor.numel() > 0) {
      EXPECT_TRUE((tensor == static_cast<double>(tensor.numel())).all().item<bool>());
    }
  }
  EXPECT_GT(cpu_allocator_peak_bytes(), 20'000'000U);
}

TEST(CpuAllocator, ReusesWhatWasReleased) {
  install_cpu_allocator();
  const void* first = nullptr;
  {
    const at::Tensor tensor = at::empty({3'000'000});
    first = tensor.data_ptr();
  }
  EXPECT_EQ(at::empty({3'000'000}).data_ptr(), first);
}

TEST(CpuAllocator, ManyThreadsAtOnce) {
  install_cpu_allocator();
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t, &wrong] {
      for (int i = 0; i < 500; ++i) {
        const at::Tensor tensor = at::full({1 + (i * 7919 + t) % 4000}, static_cast<double>(t));
        if (!(tensor == static_cast<double>(t)).all().item<bool>()) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(CpuAllocator, ConvolutionAcceptsItsMemory) {  // oneDNN aborts unless data == context
  install_cpu_allocator();
  EXPECT_TRUE(at::conv2d(at::randn({4, 3, 64, 64}), at::randn({96, 3, 4, 4}), {}, 4).isfinite().all().item<bool>());
}

}  // namespace
}  // namespace vmae::train
