#include "vmae/core/utf8_text.h"

#include <gtest/gtest.h>

#include <random>

#include "support/errors.h"

namespace vmae {
namespace {

using test::contains;
using test::error_of;

TEST(Utf8Text, TheFirstWrongByteIsNamedWithItsLine) {
  require_utf8("gr\u00fcn\n\u6f22\U0001f600\n", "f", "");
  const Error error =
      error_of([] { require_utf8("image;label\na;gut\nb;b\xf6sartig\n", "x.csv", "save it as UTF-8"); });
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_TRUE(contains(error.what(), "x.csv:3: is not UTF-8 text: the byte 0xF6 belongs to no character"));
  EXPECT_EQ(error.hint(), "save it as UTF-8");
  // cut off
  EXPECT_TRUE(
      contains(error_of([] { require_utf8("a\n\xe2\x82", "f", ""); }).what(), "f:2: is not UTF-8 text: the byte 0xE2"));
}

// Whatever the bytes: the result is UTF-8, UTF-8 stays as it is, and different names stay different.
TEST(Utf8Text, EscapedBytes) {
  EXPECT_EQ(escaped_utf8("Gr\u00f6\u00dfe"), "Gr\u00f6\u00dfe");
  EXPECT_EQ(escaped_utf8("Gr\xf6\xdf"
                         "e \u00e9"),
            "Gr%F6%DFe \u00e9");
  std::mt19937 random(3);
  for (int i = 0; i < 5000; ++i) {
    std::string bytes;
    for (size_t n = random() % 8; n > 0; --n) bytes += static_cast<char>(random() % 3 ? random() % 256 : 0xc3);
    const std::string escaped = escaped_utf8(bytes);
    EXPECT_TRUE(is_utf8(escaped));
    if (is_utf8(bytes)) {
      EXPECT_EQ(escaped, bytes);
    }
  }
}

}  // namespace
}  // namespace vmae
