// Damaged files end in Error(checkpoint) or are read; they never crash, hang or throw anything else. Deterministic.
#include <gtest/gtest.h>

#include <random>

#include "helpers.h"
#include "support/source_path.h"
#include "support/temp_folder.h"
#include "vmae/weights/pth.h"
#include "vmae/weights/weights.h"

namespace vmae::weights {
namespace {

class DamagedFile : public ::testing::Test {
 protected:
  // True if the bytes could still be read; every tensor is then walked through.
  bool is_read(const std::string& bytes) {
    write_bytes(path_, bytes);
    const std::string message = error_of([&] {
      for (const auto& [name, tensor] : read_weights(path_).tensors)
        sum_ += tensor.numel() > 0 ? tensor.to(at::kDouble).sum().item<double>() : 0;
    });
    EXPECT_NE(message, "an error with another exit code");
    return message == "no error";
  }

  void flip_bytes(const std::string& good, int times) {
    std::mt19937 random(1);
    int num_read = 0;
    for (int i = 0; i < times; ++i) {
      std::string bad = good;
      for (unsigned flips = 1 + random() % 3; flips > 0; --flips)
        bad[random() % bad.size()] ^= static_cast<char>(1 + random() % 255);
      num_read += is_read(bad);
    }
    EXPECT_LT(num_read, times) << "damage must be noticed at least sometimes";
  }

  std::string small_safetensors() {
    write_safetensors(
        path_,
        {{"a.weight", torch::ones({2, 3})}, {"a.bias", torch::ones({3}, at::kHalf)}, {"index", torch::arange(3)}},
        {{"epoch", "3"}});
    return test::slurp(path_);
  }

  test::TempFolder folder_;
  const std::filesystem::path path_ = folder_.path() / "damaged";
  double sum_ = 0;
};

TEST_F(DamagedFile, EveryTruncationOfSafetensors) {
  const std::string good = small_safetensors();
  for (size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(is_read(good.substr(0, size))) << size;
}

TEST_F(DamagedFile, EveryTruncationOfPth) {
  const std::string good = test::slurp(test::source_path("tests/golden/pth/evil.pth"));
  ASSERT_TRUE(is_read(good));
  for (size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(is_read(good.substr(0, size))) << size;
}

TEST_F(DamagedFile, FlippedBytesOfSafetensors) { flip_bytes(small_safetensors(), 4000); }

TEST_F(DamagedFile, EveryFlippedHeaderByteOfSafetensors) {
  const std::string good = small_safetensors();
  for (size_t at = 0; at < good.size(); ++at) {
    for (const unsigned char bits : {0x01, 0x10, 0x80}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ bits);
      is_read(bad);
    }
  }
}

TEST_F(DamagedFile, FlippedBytesOfPth) {
  flip_bytes(test::slurp(test::source_path("tests/golden/pth/evil.pth")), 4000);
}

// The whole of a reference checkpoint is too large to damage everywhere; its pickle is where the structure is.
TEST_F(DamagedFile, FlippedBytesOfAReferenceCheckpointsPickle) {
  const std::string good = test::slurp(test::source_path("tests/golden/pth/reference_style.pth"));
  std::mt19937 random(2);
  for (int i = 0; i < 500; ++i) {
    std::string bad = good;
    bad[random() % 60'000] ^= static_cast<char>(1 + random() % 255);
    is_read(bad);
  }
}

// Its plans become JSON.
TEST_F(DamagedFile, FlippedBytesOfNnUnetsPickle) {
  const std::string good = test::slurp(test::source_path("tests/golden/nnunet_checkpoint.pth"));
  std::mt19937 random(3);
  for (int i = 0; i < 500; ++i) {
    std::string bad = good;
    bad[random() % 46'000] ^= static_cast<char>(1 + random() % 255);
    is_read(bad);
  }
}

}  // namespace
}  // namespace vmae::weights
