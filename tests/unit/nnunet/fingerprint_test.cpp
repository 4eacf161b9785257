#include "vmae/nnunet/fingerprint.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/errors.h"

namespace vmae::nnunet {
namespace {

struct DrawnRow {
  int64_t num_samples;
  bool with_empty_case;
  size_t channel;
  Intensities expected;
};

// By tests/golden/make_nnunet_fingerprint.py, which makes the same arrays.
const std::vector<DrawnRow> kDrawnRows{
    {1,
     false,
     0,
     {11.571428298950195, 11.571428298950195, 11.571428298950195, 11.571428298950195, 11.571428298950195,
      11.571428298950195, 0.0}},
    {1,
     false,
     1,
     {3.7416574954986572, 3.7416574954986572, 3.7416574954986572, 3.7416574954986572, 3.7416574954986572,
      3.7416574954986572, 0.0}},
    {1,
     true,
     0,
     {11.571428298950195, 11.571428298950195, 11.571428298950195, 11.571428298950195, 11.571428298950195,
      11.571428298950195, 0.0}},
    {1,
     true,
     1,
     {3.7416574954986572, 3.7416574954986572, 3.7416574954986572, 3.7416574954986572, 3.7416574954986572,
      3.7416574954986572, 0.0}},
    {2,
     false,
     0,
     {28.0, 19.78571319580078, 19.785714149475098, 11.571428298950195, 11.653571157455444, 27.91785714149475,
      8.214285850524902}},
    {2,
     false,
     1,
     {3.316624879837036, 3.2394514083862305, 3.239451289176941, 3.1622776985168457, 3.1630494344234465,
      3.3158531439304353, 0.07717359066009521}},
    {2,
     true,
     0,
     {28.0, 19.785714149475098, 19.785714149475098, 11.571428298950195, 11.653571157455444, 27.91785714149475,
      8.214285850524902}},
    {2,
     true,
     1,
     {3.316624879837036, 3.239451289176941, 3.239451289176941, 3.1622776985168457, 3.1630494344234465,
      3.3158531439304353, 0.07717359066009521}},
    {3,
     false,
     0,
     {28.0, 18.95237922668457, 17.285715103149414, 11.571428298950195, 11.628571166992188, 27.892857151031492,
      6.809690475463867}},
    {3,
     false,
     1,
     {3.1622776985168457, 2.853541135787964, 3.1622776985168457, 2.2360680103302, 2.245330107212067, 3.1622776985168457,
      0.43661943078041077}},
    {3,
     true,
     0,
     {28.0, 18.952381134033203, 17.285715103149414, 11.571428298950195, 11.628571166992188, 27.892857151031492,
      6.809690339411431}},
    {3,
     true,
     1,
     {3.1622776985168457, 2.853541135787964, 3.1622776985168457, 2.2360680103302, 2.245330107212067, 3.1622776985168457,
      0.4366194342116365}},
    {9,
     false,
     0,
     {28.0, 11.603174209594727, 11.571428298950195, 3.5714285373687744, 3.6342856788635256, 27.571428604125977,
      7.492635250091553}},
    {9,
     false,
     1,
     {3.7416574954986572, 3.1651980876922607, 3.1622776985168457, 2.6457512378692627, 2.6457512378692627,
      3.7416574954986572, 0.45138049125671387}},
    {9,
     true,
     0,
     {28.0, 11.603174606959024, 11.571428298950195, 3.5714285373687744, 3.6342856788635256, 27.571428604125977,
      7.492635249666294}},
    {9,
     true,
     1,
     {3.7416574954986572, 3.1651979552374945, 3.1622776985168457, 2.6457512378692627, 2.6457512378692627,
      3.7416574954986572, 0.45138046300475787}},
    {200,
     false,
     0,
     {28.0, 11.754284858703613, 11.571428298950195, 3.5714285373687744, 3.5714285373687744, 28.0, 7.596081256866455}},
    {200,
     false,
     1,
     {3.7416574954986572, 2.884945869445801, 3.0, 2.2360680103302, 2.2360680103302, 3.7416574954986572,
      0.4869160056114197}},
    {200,
     true,
     0,
     {28.0, 11.754285722970963, 11.571428298950195, 3.5714285373687744, 3.5714285373687744, 28.0, 7.596080693616915}},
    {200,
     true,
     1,
     {3.7416574954986572, 2.884945937395096, 3.0, 2.2360680103302, 2.2360680103302, 3.7416574954986572,
      0.4869160126326417}}};

CaseVoxels small_case() {
  CaseVoxels voxels;
  voxels.name = "small";
  voxels.shape = {2, 3, 4};
  voxels.spacing = {3, 1, 2};
  voxels.channels.resize(2);
  for (int number = 0; number < 24; ++number) {
    const auto value = static_cast<float>(number);
    const bool is_cropped = number % 4 == 0;
    voxels.channels[0].push_back(is_cropped ? 0 : value * value / 7);
    voxels.channels[1].push_back(is_cropped ? 0 : std::sqrt(value));
    voxels.labels.push_back(number >= 4 && number < 12 ? 1 : 0);
  }
  voxels.labels[14] = 3;
  return voxels;
}

TEST(Fingerprint, DrawsAndCountsAsNnUnet) {
  for (const DrawnRow& row : kDrawnRows) {
    std::vector<CaseFacts> cases{facts_of(small_case(), row.num_samples)};
    EXPECT_EQ(cases[0].num_foreground, 7);  // of 9, two lie outside of the crop
    if (row.with_empty_case) {
      CaseVoxels empty = small_case();
      empty.labels.assign(24, 0);
      cases.push_back(facts_of(empty, row.num_samples));
    }
    const Intensities made = fingerprint_of(cases).channels[row.channel], &expected = row.expected;
    const auto numbers = [](const Intensities& one) {
      return std::vector{one.max, one.mean, one.median, one.min, one.percentile_00_5, one.percentile_99_5, one.std};
    };
    EXPECT_EQ(numbers(made), numbers(expected)) << row.num_samples << row.with_empty_case << row.channel;
  }
}

TEST(Fingerprint, CropsToWhatIsNotZero) {
  const Fingerprint fingerprint = fingerprint_of({facts_of(small_case(), 1)});
  EXPECT_EQ(fingerprint.shapes_after_crop, (std::vector<std::array<int64_t, 3>>{{2, 3, 3}}));
  EXPECT_EQ(fingerprint.spacings, (std::vector<std::array<double, 3>>{{3, 1, 2}}));
  EXPECT_EQ(fingerprint.median_relative_size_after_cropping, 0.75);
  CaseVoxels zero = small_case();
  for (std::vector<float>& channel : zero.channels) channel.assign(24, 0);
  const Box whole = nonzero_box(zero);
  EXPECT_EQ(whole.begin, (std::array<int64_t, 3>{0, 0, 0}));
  EXPECT_EQ(whole.end, zero.shape);
}

TEST(Fingerprint, RefusesWhatHasNoStatistics) {
  CaseVoxels voxels = small_case();
  voxels.channels[1][5] = NAN;
  EXPECT_TRUE(test::contains(test::error_of([&] { facts_of(voxels, 1); }).what(), "small: holds NaN"));
  voxels = small_case();
  voxels.labels.assign(24, 0);
  const Error error = test::error_of([&] { fingerprint_of({facts_of(voxels, 1)}); });
  EXPECT_TRUE(test::contains(error.what(), "no mask holds any foreground"));
}

TEST(Fingerprint, RefusesCasesWithDifferentChannels) {
  for (const size_t num_channels : {1U, 3U}) {
    CaseVoxels other = small_case();
    other.channels.resize(num_channels, other.channels.front());
    const std::vector<CaseFacts> cases{facts_of(small_case(), 1), facts_of(small_case(), 1), facts_of(other, 1)};
    const Error error = test::error_of([&] { fingerprint_of(cases); });
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_TRUE(test::contains(error.what(), concat("case 1 has 2 channels, but case 3 has ", num_channels)));
  }
}

}  // namespace
}  // namespace vmae::nnunet
