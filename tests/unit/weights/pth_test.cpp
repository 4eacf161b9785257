#include "vmae/weights/pth.h"

#include <caffe2/serialize/inline_container.h>
#include <gtest/gtest.h>

#include "helpers.h"
#include "support/source_path.h"
#include "support/temp_folder.h"

namespace vmae::weights {
namespace {

using namespace std::string_literals;

std::filesystem::path golden(const std::string& name) { return test::source_path("tests/golden/pth/" + name); }

// The same weights as Python's safetensors wrote them, which sorts them.
NamedTensors expected_weights() { return sorted_by_name(read_safetensors(golden("expected.safetensors")).tensors); }

std::string integer(int64_t value) {
  return "\x8a\x08" + std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

// The pickle of {"t": tensor} with these sizes and strides on storage 0.
std::string tensor_pickle(int64_t offset, const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides,
                          const std::string& type = "FloatStorage") {
  const auto tuple = [](const std::vector<int64_t>& values) {
    std::string text = "(";
    for (const int64_t value : values) text += integer(value);
    return text + "t";
  };
  return "\x80\x02}X\1\0\0\0tctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\n"s + type + "\nX\1\0\0\0"s +
         "0X\3\0\0\0cpu"s + integer(6) + "tQ" + integer(offset) + tuple(sizes) + tuple(strides) + "\x89}tRs.";
}

class Pth : public ::testing::Test {
 protected:
  // The file torch.save would write with this pickle and these bytes of storage 0.
  void write_zip(const std::string& pickle, const std::string& storage, bool has_pickle = true) {
    caffe2::serialize::PyTorchStreamWriter writer(path_.string());
    if (has_pickle) writer.writeRecord("data.pkl", pickle.data(), pickle.size());
    writer.writeRecord("data/0", storage.data(), storage.size());
    writer.writeEndOfFile();
  }
  std::string error_for(const std::string& pickle) {
    write_zip(pickle, std::string(24, '\0'));
    return error_of([&] { read_pth(path_); });
  }

  test::TempFolder folder_;
  const std::filesystem::path path_ = folder_.path() / "a.pth";
};

TEST_F(Pth, ReferenceCheckpoint) {
  const TensorFile file = read_pth(golden("reference_style.pth"));
  EXPECT_EQ(first_difference(sorted_by_name(file.tensors), expected_weights()), "");
  EXPECT_EQ(file.tensors[0].first, "pos_embed") << "the file's own order";
  EXPECT_EQ(file.metadata.at("epoch"), "3");
  EXPECT_EQ(file.metadata.at("args.lr"), "0.001");
  EXPECT_EQ(file.metadata.at("args.betas"), "[0.9, 0.95]");
  EXPECT_EQ(file.metadata.at("args.device"), "cuda");
  EXPECT_EQ(file.metadata.at("args.norm_pix_loss"), "false");
  EXPECT_FALSE(file.metadata.contains("args.data_path")) << "None is nothing";
}

TEST_F(Pth, PlainStateDict) {
  const TensorFile file = read_pth(golden("plain_state_dict.pth"));
  EXPECT_EQ(first_difference(sorted_by_name(file.tensors), expected_weights()), "");
  EXPECT_TRUE(file.metadata.empty());
}

TEST_F(Pth, HalfPrecisionStridesAndSharedStorage) {
  NamedTensors expected = expected_weights();
  for (auto& [name, tensor] : expected) tensor = tensor.is_floating_point() ? tensor.to(at::kHalf) : tensor;
  const TensorFile file = read_pth(golden("fp16.pth"));
  EXPECT_EQ(first_difference(sorted_by_name(file.tensors), expected), "");
  EXPECT_FALSE(file.find("decoder_pred.weight")->is_contiguous());
  EXPECT_TRUE(file.find("norm_up.weight")->storage().is_alias_of(file.find("norm_up.bias")->storage()));
}

TEST_F(Pth, EvilFileIsReadAndNotRun) {
  const TensorFile file = read_pth(golden("evil.pth"));
  EXPECT_EQ(file.tensors.size(), 1u);
  EXPECT_EQ(file.tensors[0].first, "mask_token");
  EXPECT_FALSE(std::filesystem::exists("PWNED"));
}

TEST_F(Pth, RoundTrip) {
  torch::manual_seed(0);
  NamedTensors tensors{
      {"z", torch::randn({3, 4}).t()}, {"a", torch::randn({8}).narrow(0, 2, 3)}, {"scalar", torch::tensor(int64_t{7})}};
  tensors.emplace_back("empty", torch::zeros({0, 2}));
  for (const auto type : {at::kDouble, at::kHalf, at::kBFloat16, at::kInt, at::kShort, at::kChar, at::kByte, at::kBool,
                          at::kComplexFloat}) {
    tensors.emplace_back(concat("t.", tensors.size()), torch::ones({2}).to(type));
  }
  tensors.emplace_back("tied", tensors.back().second);
  write_pth(path_, tensors);
  const TensorFile file = read_pth(path_);
  EXPECT_EQ(first_difference(file.tensors, tensors), "");
  EXPECT_TRUE(file.find("tied")->storage().is_alias_of(file.tensors[file.tensors.size() - 2].second.storage()));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1) << "no temporary file is left";
}

TEST_F(Pth, TensorsStayInsideTheirStorage) {
  EXPECT_EQ(error_for(tensor_pickle(0, {2, 3}, {3, 1})), "no error");
  EXPECT_EQ(error_for(tensor_pickle(2, {2, 2}, {1, 2})), "no error");
  EXPECT_EQ(error_for(tensor_pickle(6, {0}, {1})), "no error");
  EXPECT_EQ(error_for(tensor_pickle(5, {1000}, {0})), "no error");
  EXPECT_TRUE(
      contains(error_for(tensor_pickle(1, {2, 3}, {3, 1})), "tensor \"t\" reaches beyond its storage of 24 bytes"));
  EXPECT_TRUE(contains(error_for(tensor_pickle(0, {3, 3}, {3, 1})), "reaches beyond"));
  EXPECT_TRUE(contains(error_for(tensor_pickle(0, {6}, {1}, "DoubleStorage")), "reaches beyond"));
  EXPECT_TRUE(contains(error_for(tensor_pickle(-1, {2}, {1})), "reaches beyond"));
  EXPECT_TRUE(contains(error_for(tensor_pickle(0, {-2}, {1})), "reaches beyond"));
  EXPECT_TRUE(contains(error_for(tensor_pickle(5, {2}, {-1})), "reaches beyond"));
  EXPECT_TRUE(contains(error_for(tensor_pickle(0, {2}, {1, 1})), "reaches beyond"));
  EXPECT_TRUE(contains(error_for(tensor_pickle(0, {3}, {INT64_MAX})), "reaches beyond"));
  EXPECT_TRUE(contains(error_for(tensor_pickle(INT64_MAX, {2}, {1})), "reaches beyond"));
  EXPECT_TRUE(contains(error_for(tensor_pickle(7, {0}, {1})), "reaches beyond"));
  EXPECT_TRUE(contains(error_for(tensor_pickle(0, {INT64_MAX, 4}, {0, 0})), "reaches beyond"));
  EXPECT_TRUE(contains(error_for(tensor_pickle(0, {int64_t{1} << 40}, {0})), "impossible shape"));
  EXPECT_TRUE(contains(error_for(tensor_pickle(0, {2}, {1}, "QInt8Storage")), "dtype that vmae cannot read"));
}

TEST_F(Pth, SaysWhatAFileIsInstead) {
  EXPECT_TRUE(contains(error_for("\x80\x02]."), "no dict of weights"));
  EXPECT_TRUE(contains(error_for("\x80\x02}."), "holds no tensors"));
  EXPECT_TRUE(contains(error_for("\x80\x02}X\5\0\0\0modelcmy\nNet\n)\x81s."s), "pickled object (my.Net)"));
  EXPECT_TRUE(contains(error_for("\x80\x02}X\1\0\0\0wcposix\nsystem\n)Rs."s),
                       "the weights need \"w\", a Python object (posix.system)"));
  write_zip("", "x", /*has_pickle=*/false);
  EXPECT_TRUE(contains(error_of([&] { read_pth(path_); }), "no data.pkl"));
  write_bytes(path_, "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9");
  EXPECT_TRUE(contains(error_of([&] { read_pth(path_); }), "torch < 1.6"));
  write_bytes(path_, "hello");
  EXPECT_TRUE(contains(error_of([&] { read_pth(path_); }), "not a zip"));
  write_bytes(path_, test::slurp(golden("evil.pth")).substr(0, 700));
  EXPECT_TRUE(contains(error_of([&] { read_pth(path_); }), "truncated"));
}

// Of records whose checksum is that of their bytes; torch.save can be told to write none, as 0.
TEST_F(Pth, ChecksumsOfTheZip) {
  write_pth(path_, {{"a", torch::arange(1000.0)}});
  const std::string good = test::slurp(path_);
  const float number = 500;
  const size_t place = good.find(std::string(reinterpret_cast<const char*>(&number), sizeof number));
  ASSERT_NE(place, std::string::npos);
  std::string bad = good;
  bad[place] = static_cast<char>(bad[place] ^ 1);
  write_bytes(path_, bad);
  EXPECT_TRUE(contains(error_of([&] { read_pth(path_); }), "data/0: is damaged: its checksum is another"));
  std::string without = bad;
  for (const auto& [signature, checksum] : {std::pair{"PK\1\2"s, 16}, {"PK\3\4"s, 14}}) {
    for (size_t at = without.find(signature); at != std::string::npos; at = without.find(signature, at + 4))
      without.replace(at + static_cast<size_t>(checksum), 4, 4, '\0');
  }
  write_bytes(path_, without);
  EXPECT_EQ(read_pth(path_).find("a")->size(0), 1000);
}

TEST_F(Pth, RefusesToWriteWhatPythonCannotRead) {
  EXPECT_TRUE(contains(error_of([&] {
                         write_pth(path_, {{"a", torch::ones({1})}, {"a", torch::ones({1})}});
                       }),
                       "two tensors are called \"a\""));
  EXPECT_TRUE(contains(error_of([&] {
                         write_pth(path_, {{"u", torch::ones({1}).to(at::kUInt16)}});
                       }),
                       "cannot hold tensor \"u\""));
  EXPECT_NE(error_of([&] { write_pth(folder_.path() / "missing" / "a", {{"a", torch::ones({1})}}); }), "no error");
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

}  // namespace
}  // namespace vmae::weights
