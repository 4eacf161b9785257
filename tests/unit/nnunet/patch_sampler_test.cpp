#include "vmae/nnunet/patch_sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "support/errors.h"
#include "support/nnunet_cases.h"
#include "support/temp_folder.h"
#include "vmae/core/hash.h"

namespace vmae::nnunet {
namespace {

using Cases = std::vector<std::shared_ptr<const PreprocessedFile>>;

// Locations as nnU-Net's.
std::shared_ptr<const PreprocessedFile> file_of_row(const test::OrderedJson& row, const Labels& labels,
                                                    size_t num_channels = 1) {
  const test::TempFolder folder;
  const PreprocessedCase made = test::hashed_case(row, num_channels);
  write_preprocessed(folder / "case", made, sample_locations(made, labels), "");
  return std::make_shared<const PreprocessedFile>(folder / "case");
}

TEST(PatchSampler, WantsForegroundWhereNnUnetDoes) {
  const auto rows = test::nnunet_loader_rows("wants_foreground");
  ASSERT_EQ(rows.size(), 47U);
  for (const auto& row : rows) {
    const auto expected = row[2].get<std::vector<int>>();
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_EQ(wants_foreground(static_cast<int64_t>(i), row[0], row[1]), expected[i] == 1) << row << i;
  }
}

TEST(PatchSampler, BeginsWithinNnUnetsRanges) {
  const auto rows = test::nnunet_loader_rows("begins");
  ASSERT_EQ(rows.size(), 42U);
  for (const auto& row : rows) {
    const int64_t size = row.at("size"), patch = row.at("patch"), initial = row.at("initial");
    const BeginRange range = begin_range(size, patch, initial);
    EXPECT_EQ(test::OrderedJson({range.first, range.last}), row.at("range")) << row;
    for (const auto& [voxel, begin] : row.at("around").get<std::vector<std::pair<int64_t, int64_t>>>())
      EXPECT_EQ(begin_around(voxel, size, patch, initial), begin) << row << voxel;
  }
}

using Counts = std::map<std::string, double>;

Counts draw_many(const test::OrderedJson& row) {
  const Labels labels = labels_of_json(row.at("dataset").dump(), "dataset.json");
  Cases cases;
  for (const auto& one : row.at("cases")) cases.push_back(file_of_row(one, labels));
  Random random(1);
  Counts counts;
  for (int64_t i = 0; i < row.at("draws"); ++i) {
    const PatchDraw draw =
        draw_patch(cases, row.at("patch"), row.at("initial"), row.at("forced"), labels.has_ignore, random);
    ++counts[concat("slice ", draw.number, " ", draw.slice)];
    ++counts[concat("row ", draw.number, " ", draw.begin[0])];
    ++counts[concat("column ", draw.number, " ", draw.begin[1])];
  }
  return counts;
}

// Chi-square of two samples of the same size, in standard deviations from what equal distributions have.
double deviation(const Counts& a, const Counts& b) {
  double sum = 0, bins = 0;
  for (const auto& [key, count] : a) {
    if (const double other = b.contains(key) ? b.at(key) : 0; count + other > 0) {
      sum += (count - other) * (count - other) / (count + other);
      ++bins;
    }
  }
  for (const auto& [key, count] : b) {
    if (!a.contains(key)) sum += count, ++bins;
  }
  return (sum - bins) / std::sqrt(2 * bins);
}

// Classes lie in slices of their own, so that slices tell their shares too.
TEST(PatchSampler, DrawsAsOftenAsNnUnet) {
  const auto rows = test::nnunet_loader_rows("draws");
  ASSERT_EQ(rows.size(), 10U);
  for (const auto& row : rows) {
    const Counts counts = draw_many(row), expected = row.at("counts").get<Counts>();
    for (const auto& [key, count] : counts)
      EXPECT_TRUE(expected.contains(key) || count < 12) << key << " came " << count << " times: " << row.dump();
    EXPECT_LT(deviation(counts, expected), 4) << row.dump();
  }
}

TEST(PatchSampler, DrawsTheSameFromTheSameSeed) {
  const Labels labels = labels_of_classes({"a", "b"}, false);
  const Cases cases{file_of_row({{"shape", {3, 20, 20}}, {"tables", {{0, 1, 2}}}}, labels)};
  const auto draw = [&](uint64_t seed) {
    Random random(seed);
    const PatchDraw one = draw_patch(cases, {8, 8}, {10, 10}, true, false, random);
    return std::array{one.slice, one.begin[0], one.begin[1]};
  };
  EXPECT_EQ(draw(1), draw(1));
  EXPECT_NE(draw(1), draw(2));
}

template <class T>
std::string sha256_of(const std::vector<T>& values) {
  return hex(sha256({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)}));
}

TEST(PatchSampler, CutsNnUnetsPatches) {
  const auto cuts = test::nnunet_loader_rows("cuts");
  const auto file = file_of_row(cuts, labels_of_classes({"a", "b"}, true), 2);
  const std::array<int64_t, 2> size = cuts.at("size");
  const auto area = static_cast<size_t>(size[0] * size[1]);
  ASSERT_EQ(cuts.at("rows").size(), 10U);
  for (const auto& row : cuts.at("rows")) {
    const std::array<int64_t, 3> begin = row.at("begin");
    std::vector<float> image(2 * area, 77.0F);
    std::vector<int16_t> labels(area, 77);
    cut_patch(*file, {0, begin[0], {begin[1], begin[2]}}, size, image.data(), labels.data());
    EXPECT_EQ(sha256_of(image), row.at("image").get<std::string>()) << row;
    EXPECT_EQ(sha256_of(labels), row.at("labels").get<std::string>()) << row;
  }
}

TEST(PatchSampler, CutsNothingOutsideOfASlice) {
  const auto file = file_of_row({{"shape", {2, 4, 5}}, {"tables", {{0, 1}}}}, labels_of_classes({"a"}, false));
  for (const std::array<int64_t, 2> begin : {std::array<int64_t, 2>{-3, 0}, {4, 1}, {1, -3}, {1, 5}, {-50, 90}}) {
    std::vector<float> image(9, 77.0F);
    std::vector<int16_t> labels(9, 77);
    cut_patch(*file, {0, 1, begin}, {3, 3}, image.data(), labels.data());
    EXPECT_EQ(image, std::vector<float>(9, 0.0F));
    EXPECT_EQ(labels, std::vector<int16_t>(9, -1));
  }
}

}  // namespace
}  // namespace vmae::nnunet
