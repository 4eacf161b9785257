#include "vmae/weights/unpickle.h"

#include <gtest/gtest.h>

#include "helpers.h"

namespace vmae::weights {
namespace {

using Kind = Value::Kind;
using namespace std::string_literals;

const std::string kStart = "\x80\x02";

std::string error_for(const std::string& opcodes) {
  return error_of([&] { Pickle pickle(kStart + opcodes); });
}

std::string repeated(const std::string& part, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += part;
  return all;
}

TEST(Unpickle, NumbersTextAndContainers) {
  // {"a": (1, -2, 65535, 2.5, None, True), "b": [b"xy", 2**40]}
  const Pickle pickle(
      kStart +
      "}(X\1\0\0\0a(K\1J\xfe\xff\xff\xffM\xff\xffG@\4\0\0\0\0\0\0N\x88tX\1\0\0\0b]q\0(C\2xy\x8a\6\0\0\0\0\0\1eu."s);
  const Value& root = pickle.root();
  ASSERT_EQ(root.kind, Kind::dict);
  const auto& tuple = root.find("a")->items;
  ASSERT_EQ(tuple.size(), 6u);
  EXPECT_EQ(tuple[0]->integer, 1);
  EXPECT_EQ(tuple[1]->integer, -2);
  EXPECT_EQ(tuple[2]->integer, 65535);
  EXPECT_EQ(tuple[3]->real, 2.5);
  EXPECT_EQ(tuple[4]->kind, Kind::none);
  EXPECT_EQ(tuple[5]->kind, Kind::boolean);
  const auto& list = root.find("b")->items;
  EXPECT_EQ(list.at(0)->text, "xy");
  EXPECT_EQ(list.at(1)->integer, int64_t{1} << 40);
  EXPECT_EQ(root.find("c"), nullptr);
}

TEST(Unpickle, NegativeAndHugeLongs) {
  EXPECT_EQ(Pickle(kStart + "\x8a\2\0\xff."s).root().integer, -256);
  EXPECT_EQ(Pickle(kStart + "\x8a\0."s).root().integer, 0);
  EXPECT_EQ(Pickle(kStart + "\x8a\x09" + std::string(9, '\1') + ".").root().kind, Kind::opaque);
}

TEST(Unpickle, NothingIsExecuted) {
  const Pickle pickle(kStart + "cposix\nsystem\nX\x05\0\0\0false\x85R."s);
  EXPECT_EQ(pickle.root().kind, Kind::opaque);
  EXPECT_EQ(pickle.root().text, "posix.system");
  EXPECT_EQ(Pickle(kStart + "cposix\nsystem\nX\x01\0\0\0a\x85R(K\1K\2u."s).root().kind, Kind::opaque)
      << "entries set on an opaque value";
}

TEST(Unpickle, SelfReferenceIsNoProblem) {
  const Pickle pickle(kStart + "]q\0h\0a."s);
  EXPECT_EQ(pickle.root().items.at(0), &pickle.root());
}

TEST(Unpickle, SaysWhatIsWrong) {
  EXPECT_TRUE(contains(error_for(""), "it ends"));
  EXPECT_TRUE(contains(error_for("."), "the stack is empty"));
  EXPECT_TRUE(contains(error_for("u."), "there is no mark"));
  EXPECT_TRUE(contains(error_for("K\1(0"), "the stack is empty")) << "a mark protects what is below it";
  EXPECT_TRUE(contains(error_for("h\5"), "memo 5 is empty"));
  EXPECT_TRUE(contains(error_for("}(K\1u"), "a key has no value"));
  EXPECT_TRUE(contains(error_for("K\1K\2a"), "no list or set"));
  EXPECT_TRUE(contains(error_for("NK\1K\2s"), "no dict"));
  EXPECT_TRUE(contains(error_for("X\xff\xff\xff\xff"), "4294967295 more bytes"));
  EXPECT_TRUE(contains(error_for("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"), "18446744073709551615 more bytes"));
  EXPECT_TRUE(contains(error_for("cno line end"), "no end"));
  EXPECT_TRUE(contains(error_for("NN\x93"), "a global has no name"));
  EXPECT_TRUE(contains(error_for("\x82\1"), "opcode 130"));
}

TEST(Unpickle, SmallFilesCannotFillTheMemoryOrTheStack) {
  EXPECT_TRUE(contains(error_for("N" + repeated("\x94", 3'000'000) + "."), "more values")) << "memo entries";
  EXPECT_TRUE(contains(error_for("N" + repeated("2", 3'000'000) + "."), "more values")) << "copies on the stack";
  EXPECT_TRUE(contains(error_for(repeated("N", 3'000'000)), "more values than any checkpoint"));
  EXPECT_TRUE(contains(error_for(repeated("(", 100'000)), "nests too deeply"));
  EXPECT_EQ(error_for(repeated("]", 500'000) + repeated("a", 499'999) + "."), "no error")
      << "deep nesting itself is harmless";
  EXPECT_TRUE(contains(error_for(std::string(40u << 20, 'N')), "beyond the limit"));
  EXPECT_TRUE(contains(error_for("c" + std::string(1000, 'x') + "\ny\n."), "too long"));
  // A set of 100,000 items, copied again and again.
  const std::string list = "](" + repeated("h\0"s, 100'000) + "e\x85q\1";
  EXPECT_TRUE(contains(error_for("Nq\0"s + list + repeated("0c__builtin__\nset\nh\1R", 100) + "."),
                       "more values than any checkpoint"));
  // A Namespace built from itself must not double.
  EXPECT_EQ(error_for("cargparse\nNamespace\n)\x81q\0}X\1\0\0\0aK\1sb"s + repeated("h\0b"s, 1000) + "."), "no error");
}

}  // namespace
}  // namespace vmae::weights
