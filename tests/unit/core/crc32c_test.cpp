#include "vmae/core/crc32c.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "vmae/core/random.h"

namespace vmae {
namespace {

using Bytes = std::vector<unsigned char>;
using Function = uint32_t (*)(const void*, size_t, uint32_t);

class Crc32c : public ::testing::TestWithParam<Function> {
 protected:
  uint32_t crc(const Bytes& bytes) const { return GetParam()(bytes.data(), bytes.size(), 0); }
};

// RFC 3720, appendix B.4, and the usual check value.
TEST_P(Crc32c, Rfc3720) {
  Bytes up(32), down(32);
  std::iota(up.begin(), up.end(), 0);
  std::iota(down.rbegin(), down.rend(), 0);
  EXPECT_EQ(crc(Bytes(32, 0x00)), 0x8a9136aaU);
  EXPECT_EQ(crc(Bytes(32, 0xff)), 0x62a8ab43U);
  EXPECT_EQ(crc(up), 0x46dd794eU);
  EXPECT_EQ(crc(down), 0x113fdb5cU);
  EXPECT_EQ(crc({'1', '2', '3', '4', '5', '6', '7', '8', '9'}), 0xe3069283U);
  EXPECT_EQ(crc({}), 0U);
  EXPECT_EQ(crc({0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18,
                 0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00}),
            0xd9963a56U);
}

TEST_P(Crc32c, ContinuesAtEverySplit) {
  Bytes bytes(67);
  Random random(3);
  for (auto& byte : bytes) byte = static_cast<unsigned char>(random.bits());
  for (size_t split = 0; split <= bytes.size(); ++split) {
    const uint32_t first = GetParam()(bytes.data(), split, 0);
    EXPECT_EQ(GetParam()(bytes.data() + split, bytes.size() - split, first),
              crc32c_portable(bytes.data(), bytes.size()));
  }
}

INSTANTIATE_TEST_SUITE_P(BothForms, Crc32c, ::testing::Values(&crc32c, &crc32c_portable));

}  // namespace
}  // namespace vmae
