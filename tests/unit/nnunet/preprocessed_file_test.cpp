#include "vmae/nnunet/preprocessed_file.h"

#include <gtest/gtest.h>

#include <cstring>

#include "support/errors.h"
#include "support/nnunet_cases.h"
#include "support/temp_folder.h"
#include "vmae/core/crc32c.h"
#include "vmae/core/hash.h"

namespace vmae::nnunet {
namespace {

std::string sha256_of_voxels(const std::vector<Voxel>& voxels) {
  return hex(sha256({reinterpret_cast<const char*>(voxels.data()), voxels.size() * sizeof(Voxel)}));
}

TEST(PreprocessedFile, DrawsNnUnetsLocations) {
  const auto rows = test::nnunet_loader_rows("locations");
  ASSERT_EQ(rows.size(), 11U);
  for (const auto& row : rows) {
    SCOPED_TRACE(row.dump().substr(0, 200));
    const Locations made =
        sample_locations(test::hashed_case(row), labels_of_json(row.at("dataset").dump(), "dataset.json"));
    ASSERT_EQ(made.size(), row.at("lists").size());
    for (size_t i = 0; i < made.size(); ++i) {
      const auto& expected = row.at("lists")[i];
      ASSERT_EQ(made[i].size(), expected.at("count").get<size_t>()) << i;
      for (size_t k = 0; k < expected.at("first").size(); ++k)
        EXPECT_EQ(made[i][k], expected.at("first")[k].get<Voxel>()) << i;
      EXPECT_EQ(sha256_of_voxels(made[i]), expected.at("sha256").get<std::string>()) << i;
    }
  }
}

PreprocessedCase small_preprocessed() {
  PreprocessedCase made = test::hashed_case({{"shape", {3, 5, 7}}, {"tables", {{-1, 0, 1, 255}}}}, 2);
  made.box = {{1, 2, 3}, {4, 7, 10}};
  made.shape_before_crop = {5, 9, 11};
  made.shape_after_crop = {3, 5, 7};
  made.spacing = {3.5, 0.75, 0.5};
  return made;
}

const Locations kSmallLocations{{{0, 1, 2}, {2, 4, 6}}, {}, {{1, 3, 5}}};

TEST(PreprocessedFile, KeepsAllOfACase) {
  const test::TempFolder folder;
  const PreprocessedCase made = small_preprocessed();
  write_preprocessed(folder / "case", made, kSmallLocations, "made of this");
  const PreprocessedFile read(folder / "case");
  EXPECT_EQ(read.shape(), made.shape);
  ASSERT_EQ(read.num_channels(), 2);
  for (int64_t i = 0; i < 2; ++i)
    EXPECT_EQ(std::vector(read.channel(i), read.channel(i) + 105), made.channels[static_cast<size_t>(i)]);
  EXPECT_EQ(std::vector(read.labels(), read.labels() + 105), made.labels);
  EXPECT_EQ(read.key(), "made of this");
  ASSERT_EQ(read.locations().size(), kSmallLocations.size());
  for (size_t i = 0; i < kSmallLocations.size(); ++i)
    EXPECT_EQ(std::vector(read.locations()[i].begin(), read.locations()[i].end()), kSmallLocations[i]);
  EXPECT_EQ(read.facts().box.begin, made.box.begin);
  EXPECT_EQ(read.facts().box.end, made.box.end);
  EXPECT_EQ(read.facts().shape_before_crop, made.shape_before_crop);
  EXPECT_EQ(read.facts().shape_after_crop, made.shape_after_crop);
  EXPECT_EQ(read.facts().spacing, made.spacing);
}

TEST(PreprocessedFile, IsAlignedWhateverStandsBefore) {
  const test::TempFolder folder;
  for (size_t size = 0; size < 64; size += 9) {
    write_preprocessed(folder / "case", small_preprocessed(), kSmallLocations, std::string(size, 'k'));
    const PreprocessedFile read(folder / "case");
    EXPECT_EQ(reinterpret_cast<uintptr_t>(read.channel(0)) % 64, 0U);
    EXPECT_EQ(read.channel(1)[104], small_preprocessed().channels[1][104]);
  }
}

TEST(PreprocessedFile, StaysWhereTheFileIsReplaced) {
  const test::TempFolder folder;
  write_preprocessed(folder / "case", small_preprocessed(), kSmallLocations, "first");
  const PreprocessedFile first(folder / "case");
  PreprocessedCase other = small_preprocessed();
  other.labels.assign(other.labels.size(), 9);
  write_preprocessed(folder / "case", other, kSmallLocations, "second");
  EXPECT_EQ(PreprocessedFile(folder / "case").key(), "second");
  EXPECT_EQ(first.labels()[0], small_preprocessed().labels[0]);
}

// What comes of bytes in place of a whole file: the error's text.
std::string refusal(const std::string& bytes) {
  const test::TempFolder folder;
  const std::filesystem::path file = folder.write("broken.case", bytes);
  const Error error = test::error_of([&] { PreprocessedFile{file}; });
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_TRUE(test::contains(error.what(), "broken.case"));
  return error.what();
}

std::string small_file() {
  const test::TempFolder folder;
  write_preprocessed(folder / "case", small_preprocessed(), kSmallLocations, "key");
  return test::slurp(folder / "case");
}

TEST(PreprocessedFile, RefusesOtherFiles) {
  EXPECT_TRUE(
      test::contains(test::error_of([] { PreprocessedFile("/nowhere/case"); }).what(), "can't be read: No such"));
  EXPECT_TRUE(test::contains(test::error_of([] { PreprocessedFile("/"); }).what(), "can't be read"));
  EXPECT_TRUE(test::contains(refusal(""), "is no preprocessed case"));
  EXPECT_TRUE(test::contains(refusal(std::string(5000, 'x')), "is no preprocessed case"));
  std::string later = small_file();
  later[8] = 2;
  EXPECT_TRUE(test::contains(refusal(later), "is of version 2; this vmae reads version 1"));
}

TEST(PreprocessedFile, RefusesAnyOtherLength) {
  const std::string whole = small_file();
  for (size_t size = 0; size < whole.size(); size += 1 + size / 50) refusal(whole.substr(0, size));
  EXPECT_TRUE(test::contains(refusal(whole.substr(0, whole.size() - 1)), "shorter"));
  EXPECT_TRUE(test::contains(refusal(whole + "x"), "longer"));
}

TEST(PreprocessedFile, RefusesEveryChangeBeforeTheVoxels) {
  const std::string whole = small_file();
  const size_t front = whole.size() - 105 * (2 * sizeof(float) + sizeof(int16_t));
  for (size_t i = 0; i < front; ++i) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ (1 << i % 8));
    refusal(changed);
  }
}

// Headers whose checksum is right: sizes whose product is beyond 64 bits, none, less than none.
TEST(PreprocessedFile, RefusesSizesThatMeanNothing) {
  const std::string whole = small_file();
  const size_t front = whole.size() - 105 * (2 * sizeof(float) + sizeof(int16_t));
  for (const size_t field : {0U, 1U, 2U, 3U}) {  // slices, rows, columns, channels
    for (const int64_t value : {int64_t{0}, int64_t{-1}, int64_t{1} << 62, INT64_MAX, INT64_MIN, int64_t{8}}) {
      std::string changed = whole;
      std::memcpy(changed.data() + 16 + 8 * field, &value, sizeof value);
      const uint32_t checksum = crc32c(changed.data() + 16, front - 16);
      std::memcpy(changed.data() + 12, &checksum, sizeof checksum);
      EXPECT_TRUE(test::contains(refusal(changed), "is damaged")) << field << ": " << value;
    }
  }
}

}  // namespace
}  // namespace vmae::nnunet
