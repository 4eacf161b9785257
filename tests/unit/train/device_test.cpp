#include "vmae/train/device.h"

#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <new>

#include "support/errors.h"

namespace vmae::train {
namespace {

template <class Problem>
std::optional<Error> meaning(const Problem& throws) {
  try {
    throws();
  } catch (const std::exception& problem) {
    return out_of_memory(problem);
  }
  return {};
}

TEST(Device, MemoryThatRanOutIsNamedWhoeverSaysSo) {
  EXPECT_TRUE(meaning([] { throw std::bad_alloc(); }));
  const std::optional<Error> error = meaning([] {
    TORCH_CHECK_WITH(OutOfMemoryError, false,
                     "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB of ",
                     "which 3.25 GiB is free. Including non-PyTorch memory, this process has 75.85 GiB memory in use.");
  });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ExitCode::internal);
  EXPECT_STREQ(error->what(),
               "out of memory on the device: CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has "
               "a total capacity of 79.10 GiB of which 3.25 GiB is free.");
  EXPECT_TRUE(test::contains(error->hint(), "train.micro_batch"));
  EXPECT_TRUE(
      meaning([] { TORCH_CHECK(false, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"); }));
  EXPECT_TRUE(meaning([] { TORCH_CHECK(false, "FIND was unable to find an engine to execute this computation"); }));
  EXPECT_TRUE(meaning([] { TORCH_CHECK(false, "CUDA error: out of memory\nCUDA kernel errors might be"); }));
}

TEST(Device, OtherProblemsAreNot) {
  EXPECT_FALSE(meaning([] { TORCH_CHECK(false, "CUDA error: an illegal memory access was encountered"); }));
  EXPECT_FALSE(meaning([] { throw std::runtime_error("out of memory of what was said"); }));
  EXPECT_FALSE(meaning([] { throw Error(ExitCode::data, "a bad case"); }));
}

// Of whatever ends a command.
TEST(Device, ErrorsOfTheLibraryAreAskedFor) {
  const c10::OutOfMemoryError problem({__func__, __FILE__, __LINE__}, "CUDA out of memory.");
  EXPECT_TRUE(test::contains(error_of(problem).what(), "internal error"));
  set_error_of_library(out_of_memory);
  EXPECT_STREQ(error_of(problem).what(), "out of memory on the device: CUDA out of memory.");
}

}  // namespace
}  // namespace vmae::train
