#include "vmae/weights/safetensors.h"

#include <gtest/gtest.h>

#include "helpers.h"
#include "support/source_path.h"
#include "support/temp_folder.h"

namespace vmae::weights {
namespace {

// A file with this header and this many bytes of buffer, without a checksum.
std::string file_with(const std::string& header, size_t buffer_size) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + std::string(buffer_size, '\1');
}

class Safetensors : public ::testing::Test {
 protected:
  std::string error_for(const std::string& bytes) {
    write_bytes(path_, bytes);
    const std::string whole = error_of([&] { read_safetensors(path_); });
    const std::string stored = error_of([&] { read_stored(path_); });
    EXPECT_TRUE(stored == whole || contains(stored, "is empty") || contains(stored, "is neither safetensors"))
        << stored;
    return whole;
  }

  test::TempFolder folder_;
  const std::filesystem::path path_ = folder_.path() / "a.safetensors";
};

TEST_F(Safetensors, RoundTripOfEveryDtype) {
  torch::manual_seed(0);
  NamedTensors tensors;
  for (const auto type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kFloat8_e4m3fn, at::kFloat8_e5m2}) {
    tensors.emplace_back(concat("float.", tensors.size()), torch::randn({2, 3, 5}).to(type));
  }
  for (const auto type :
       {at::kLong, at::kInt, at::kShort, at::kChar, at::kByte, at::kUInt16, at::kUInt32, at::kUInt64, at::kBool}) {
    tensors.emplace_back(concat("integer.", tensors.size()), torch::randint(0, 2, {7}).to(type));
  }
  tensors.emplace_back("scalar", torch::tensor(3.5f));
  tensors.emplace_back("empty", torch::zeros({0, 4}));
  tensors.emplace_back("transposed", torch::randn({4, 6}).t());
  tensors.emplace_back("expanded", torch::randn({1, 3}).expand({5, 3}));
  tensors.emplace_back("a \"quoted\" näme", torch::ones({1}).requires_grad_());
  const Metadata metadata{{"epoch", "3"}, {"text", "line\n\"quoted\""}, {"a\"checksum", "crc32c:12345678"}};

  write_safetensors(path_, tensors, metadata);
  const TensorFile file = read_safetensors(path_);

  EXPECT_EQ(first_difference(file.tensors, tensors), "");
  for (const auto& [key, text] : metadata) EXPECT_EQ(file.metadata.at(key), text);
  EXPECT_TRUE(file.metadata.at("checksum").starts_with("crc32c:"));
  EXPECT_NE(file.metadata.at("checksum"), "crc32c:00000000");
  ASSERT_NE(file.find("scalar"), nullptr);
  EXPECT_EQ(file.find("scalar")->item<float>(), 3.5f);
  EXPECT_EQ(file.find("Scalar"), nullptr);
}

TEST_F(Safetensors, HeaderOnly) {
  write_safetensors(path_, {{"a", torch::ones({2, 3}, at::kHalf)}, {"b", torch::ones({4})}}, {{"k", "v"}});
  const TensorFile file = read_shapes(path_);
  ASSERT_EQ(file.tensors.size(), 2u);
  EXPECT_EQ(file.tensors[0].first, "a");
  EXPECT_EQ(file.tensors[0].second.sizes(), (at::IntArrayRef{2, 3}));
  EXPECT_EQ(file.tensors[0].second.scalar_type(), at::kHalf);
  EXPECT_TRUE(file.tensors[0].second.is_meta());
  EXPECT_EQ(file.metadata.at("k"), "v");
}

TEST_F(Safetensors, ReadsPythonsFiles) {
  const TensorFile file = read_safetensors(test::source_path("tests/golden/pth/expected.safetensors"));
  EXPECT_EQ(file.tensors.size(), 224u);
  ASSERT_NE(file.find("mask_token"), nullptr);
  EXPECT_FALSE(file.metadata.contains("checksum"));
}

TEST_F(Safetensors, OrderIsTheHeadersAndOffsetsMayDiffer) {
  write_bytes(
      path_,
      file_with(
          R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},"a":{"data_offsets":[0,1],"shape":[1],"dtype":"U8"}})",
          3));
  const TensorFile file = read_safetensors(path_);
  EXPECT_EQ(file.tensors.at(0).first, "b");
  EXPECT_EQ(file.tensors.at(0).second.numel(), 2);
}

TEST_F(Safetensors, EveryFlippedBitOfTheBufferIsFound) {
  write_safetensors(path_, {{"a", torch::ones({3})}}, {});
  const std::string good = test::slurp(path_);
  for (size_t at = good.size() - 12; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    write_bytes(path_, bad);
    EXPECT_TRUE(contains(error_of([&] { read_safetensors(path_); }), "damaged: its checksum is"));
  }
}

TEST_F(Safetensors, RefusesTruncatedAndLongerFiles) {
  write_safetensors(path_, {{"a", torch::ones({1000})}}, {});
  const std::string good = test::slurp(path_);
  const std::string message = error_for(good.substr(0, 1024));
  EXPECT_TRUE(contains(message, "truncated: 1,024 of 4,")) << message;
  EXPECT_TRUE(contains(message, path_.string())) << message;
  EXPECT_TRUE(contains(error_for(good + "x"), "1 bytes after its last tensor"));
  EXPECT_TRUE(contains(error_for(""), "truncated"));
}

TEST_F(Safetensors, RefusesHostileHeaders) {
  const auto entry = [](const std::string& fields) { return file_with("{\"t\":{" + fields + "}}", 8); };
  EXPECT_TRUE(contains(error_for(std::string(8, '\xff') + "{}"), "is not safetensors"));
  EXPECT_TRUE(contains(error_for(std::string("\x00\x00\x10\x00\x00\x00\x00\x00", 8) + "{}"), "the header alone needs"));
  EXPECT_TRUE(contains(error_for(file_with("[]", 0)), "unexpected a list"));
  EXPECT_TRUE(contains(error_for(file_with("7", 0)), "unexpected a number"));
  EXPECT_TRUE(contains(error_for(file_with("", 0)), "no JSON"));
  EXPECT_TRUE(contains(error_for(file_with("{\"t\":", 0)), "no JSON"));
  EXPECT_TRUE(contains(error_for(file_with(std::string(1'000'000, '['), 0)), "unexpected a list"));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "{\"a\":";
  EXPECT_TRUE(contains(error_for(file_with(deep, 0)), "unexpected an object"));
  EXPECT_TRUE(contains(error_for(file_with(R"({"__metadata__":{"a":1}})", 0)), "unexpected a number"));
  EXPECT_TRUE(contains(error_for(file_with(R"({"__metadata__":{"a":"1","a":"2"}})", 0)), "twice"));
  EXPECT_TRUE(contains(error_for(entry(R"("dtype":"F32","shape":[2])")), "needs dtype, shape and data_offsets"));
  EXPECT_TRUE(contains(error_for(entry(R"("dtype":"Q4","shape":[2],"data_offsets":[0,8])")), "has dtype \"Q4\""));
  EXPECT_TRUE(
      contains(error_for(entry(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])")), "unexpected the number -2"));
  EXPECT_TRUE(
      contains(error_for(entry(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])")), "unexpected the number 2.0"));
  EXPECT_TRUE(contains(error_for(entry(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])")), "[begin, end]"));
  EXPECT_TRUE(contains(error_for(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,8])")), "[begin, end]"));
  EXPECT_TRUE(contains(error_for(entry(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])")), "needs 12 bytes"));
  EXPECT_TRUE(contains(error_for(entry(R"("dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0])")),
                       "impossible shape"));
  EXPECT_TRUE(contains(error_for(entry(R"("dtype":"F32","shape":[0,4611686018427387904,4],"data_offsets":[0,0])")),
                       "impossible shape"));
  EXPECT_TRUE(contains(error_for(entry(R"("dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8])")),
                       "unexpected the number"));
  EXPECT_TRUE(
      contains(error_for(entry(R"("dtype":"U8","shape":[4611686018427387904],"data_offsets":[0,4611686018427387904])")),
               "truncated"));
  EXPECT_TRUE(contains(error_for(entry(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])")), "unexpected a list"));
}

TEST_F(Safetensors, RefusesDuplicatesOverlapsAndHoles) {
  const auto two = [](const std::string& second_name, const std::string& second_offsets) {
    return file_with(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},")" + second_name +
                         R"(":{"dtype":"U8","shape":[4],"data_offsets":[)" + second_offsets + "]}}",
                     8);
  };
  EXPECT_EQ(error_for(two("b", "4,8")), "no error");
  EXPECT_TRUE(contains(error_for(two("a", "4,8")), "twice"));
  EXPECT_TRUE(contains(error_for(two("b", "3,7")), "starts at byte 3 of the buffer, but the one before ends at 4"));
  EXPECT_TRUE(contains(error_for(two("b", "5,9")), "starts at byte 5 of the buffer, but the one before ends at 4"));
}

TEST_F(Safetensors, RefusesToWriteWhatItCannotRead) {
  EXPECT_TRUE(contains(error_of([&] {
                         write_safetensors(path_, {{"a", torch::ones({1})}, {"a", torch::ones({1})}}, {});
                       }),
                       "two tensors are called \"a\""));
  EXPECT_TRUE(contains(error_of([&] {
                         write_safetensors(path_, {{"c", torch::ones({1}, at::kComplexFloat)}}, {});
                       }),
                       "cannot hold tensor \"c\""));
  EXPECT_TRUE(contains(error_of([&] {
                         write_safetensors(path_, {{"s", torch::eye(2).to_sparse()}}, {});
                       }),
                       "cannot hold tensor \"s\""));
  EXPECT_TRUE(contains(error_of([&] { write_safetensors(path_, {{"\xff", torch::ones({1})}}, {}); }), "UTF-8"));
  EXPECT_NE(error_of([&] {
              write_safetensors(folder_.path() / "missing" / "a", {{"a", torch::ones({1})}}, {});
            }),
            "no error");
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(Safetensors, NamesWhatIsNoFile) {
  EXPECT_TRUE(contains(error_of([&] { read_safetensors(path_); }), "cannot be opened"));
  EXPECT_TRUE(contains(error_of([&] { read_safetensors(folder_.path()); }), "is not a regular file"));
}

}  // namespace
}  // namespace vmae::weights
