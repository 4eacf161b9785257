// Files that NumPy wrote (tests/golden/make_npz.py), whole and damaged.
#include "vmae/weights/npz.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <fstream>

#include "helpers.h"
#include "support/source_path.h"
#include "support/temp_folder.h"
#include "support/tensors.h"
#include "vmae/weights/transunet.h"

namespace vmae::weights {
namespace {

std::filesystem::path npz_file(const std::string& name) { return test::source_path("tests/golden/npz/" + name); }

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(Npz, ReadsWhatNumpyWrites) {
  for (const char* name : {"arrays.npz", "compressed.npz"}) {
    const TensorFile file = read_weights(npz_file(name));
    ASSERT_EQ(file.tensors.size(), 10U) << name;
    EXPECT_EQ(file.tensors[0].first, "Transformer/encoder_norm/scale");
    EXPECT_TRUE(test::same_bits(file.tensors[0].second, at::arange(6, at::kFloat).view({2, 3}) / 7));
    EXPECT_TRUE(test::same_bits(*file.find("half"), at::tensor({0.5, -2.0}).to(at::kHalf)));
    EXPECT_TRUE(test::same_bits(*file.find("double"), at::full({}, 3.25, at::kDouble)));
    EXPECT_TRUE(test::same_bits(*file.find("whole"), at::arange(5)));
    EXPECT_TRUE(test::same_bits(*file.find("bytes"), at::tensor({0, 255}).to(at::kByte).view({1, 2})));
    EXPECT_TRUE(test::same_bits(*file.find("flags"), at::tensor({1, 0}).to(at::kBool)));
    EXPECT_EQ(file.find("empty")->sizes(), at::IntArrayRef({0, 3}));
  }
}

TEST(Npz, RefusesObjectsAndTurnsColumns) {
  const std::string objects = error_of([] { read_npz(npz_file("objects.npz")); });
  EXPECT_NE(objects.find("b.npy: an array of Python objects"), std::string::npos) << objects;
  const TensorFile columns = read_npz(npz_file("columns.npz"));
  EXPECT_TRUE(test::same_bits(*columns.find("a"), at::arange(6, at::kFloat).view({2, 3})));
}

// Whatever byte is another, or where the file ends: an Error(checkpoint), or the same numbers (names, dates, padding).
TEST(Npz, DamageIsFound) {
  const test::TempFolder folder;
  const std::filesystem::path path = folder.path() / "a.npz";
  for (const char* name : {"arrays.npz", "compressed.npz"}) {
    const std::string bytes = bytes_of(npz_file(name));
    const TensorFile expected = read_npz(npz_file(name));
    int64_t refused = 0;
    for (size_t i = 0; i < bytes.size(); i += 3) {
      std::string damaged = i % 2 == 0 ? bytes : bytes.substr(0, i);
      if (i % 2 == 0) damaged[i] = static_cast<char>(damaged[i] ^ 0x41);
      std::ofstream(path, std::ios::binary) << damaged;
      try {
        const TensorFile file = read_npz(path);
        ASSERT_LE(file.tensors.size(), expected.tensors.size()) << i;
        for (size_t t = 0; t < file.tensors.size(); ++t)
          EXPECT_TRUE(test::same_bits(file.tensors[t].second, expected.tensors[t].second)) << name << " byte " << i;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::checkpoint);
        ++refused;
      }
    }
    EXPECT_GT(refused, static_cast<int64_t>(bytes.size() / 6)) << "all that end early, and more";
  }
}

TEST(Npz, PositionsAreResizedAsScipyDoes) {
  const TensorFile arrays = read_npz(npz_file("arrays.npz"));
  const std::string key = "transformer.embeddings.position_embeddings";
  for (const std::vector<int64_t>& grid : {std::vector<int64_t>{7, 3}, {2, 9}}) {
    TensorFile file;
    file.tensors = {{key, *arrays.find("positions")}};
    EXPECT_TRUE(fit_positions(file, {}, {16 * grid[0], 16 * grid[1]}, "a"));
    const at::Tensor& expected = *arrays.find(concat("positions_", grid[0], "x", grid[1]));
    EXPECT_LT(test::max_abs_difference(file.tensors[0].second, expected), 1e-6);
    EXPECT_FALSE(fit_positions(file, {16 * grid[0], 16 * grid[1]}, {16 * grid[0], 16 * grid[1]}, "a"));
    EXPECT_THROW(fit_positions(file, {}, {32, 32}, "a"), Error) << "no square";
  }
}

TEST(Npz, FlaxNamesThatAreNotKnownAreNamed) {
  const auto renamed = [](const std::string& name, at::IntArrayRef shape) {
    TensorFile file;
    file.tensors = {{name, at::rand(shape)}};
    rename_flax_vit(file, "a.npz");
    return file;
  };
  EXPECT_TRUE(renamed("head/kernel", {8, 3}).tensors.empty());
  const TensorFile conv = renamed("block2/unit3/conv2/kernel", {3, 3, 4, 5});
  EXPECT_EQ(conv.tensors[0].first, "transformer.embeddings.hybrid_model.body.block2.unit3.conv2.weight");
  EXPECT_EQ(conv.tensors[0].second.sizes(), at::IntArrayRef({5, 4, 3, 3}));
  const std::string query = "Transformer/encoderblock_11/MultiHeadDotProductAttention_1/query/kernel";
  EXPECT_EQ(renamed(query, {6, 2, 3}).tensors[0].first, "transformer.encoder.layer.11.attn.query.weight");
  for (const std::string name : {"block1/unit1/conv4/kernel", "Transformer/encoderblock_0/LayerNorm_1/scale", "what",
                                 "conv_root/something", "block1/unit1/conv1/kernel"}) {
    const std::string error = error_of([&] { renamed(name, {2}); });
    EXPECT_NE(error.find(name + " [2]"), std::string::npos) << error;
  }
}

}  // namespace
}  // namespace vmae::weights
