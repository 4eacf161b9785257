#include "vmae/core/hash.h"

#include <gtest/gtest.h>

namespace vmae {
namespace {

TEST(Hash, Sha256AsInTheStandard) {  // FIPS 180-2, appendix B
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 parts;
  parts.add("a");
  parts.add("bc");
  EXPECT_EQ(parts.finish(), sha256("abc"));
  EXPECT_EQ(hex(sha256("abc"), 4), "ba7816bf");
}

TEST(Hash, HmacAsInRfc4231) {  // test case 2
  EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Hash, RandomBytesDiffer) { EXPECT_NE(random_bytes(32), random_bytes(32)); }

}  // namespace
}  // namespace vmae
