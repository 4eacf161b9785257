// Distances between surfaces: against all pairs of voxels, and against MedPy.
#include "vmae/metrics/surface.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/brute_force.h"
#include "support/errors.h"
#include "support/images.h"
#include "support/temp_folder.h"
#include "vmae/cases/read_label_map.h"
#include "vmae/metrics/overlap.h"

namespace vmae::metrics {
namespace {

using nlohmann::json;
using test::BruteForce;
using test::RandomPair;

void expect_same(const std::vector<double>& ours, const std::vector<double>& expected) {
  ASSERT_EQ(ours.size(), expected.size());
  for (size_t i = 0; i < ours.size(); ++i) ASSERT_NEAR(ours[i], expected[i], 1e-12 * (1 + expected[i])) << i;
}

TEST(Surface, DistancesAreThoseOfAllPairs) {
  int num_compared = 0;
  for (uint32_t seed = 0; seed < 600; ++seed) {
    SCOPED_TRACE(seed);
    const RandomPair pair(seed, 2, seed % 3 == 0);
    for (uint8_t label = 1; label <= 2; ++label) {
      const BruteForce expected(pair.a, pair.b, label, pair.grid);
      const SurfaceDistances ours = surface_distances(pair.a, pair.b, label, pair.grid);
      if (expected.a_to_b.empty() || expected.b_to_a.empty()) {
        EXPECT_TRUE(ours.a_to_b.empty() && ours.b_to_a.empty());
        continue;
      }
      ++num_compared;
      expect_same(ours.a_to_b, expected.a_to_b);
      expect_same(ours.b_to_a, expected.b_to_a);
      ASSERT_NEAR(hd95_pooled(ours), expected.hd95_pooled(), 1e-11);
      ASSERT_NEAR(hd95_max_directed(ours), expected.hd95_max_directed(), 1e-11);
      ASSERT_NEAR(average_surface_distance(ours), expected.asd(), 1e-11);
      for (const double tolerance_mm : {0.0, 1.0, 3.3})
        ASSERT_NEAR(surface_dice(ours, tolerance_mm), expected.surface_dice(tolerance_mm), 1e-12);
    }
  }
  EXPECT_GT(num_compared, 600);
}

TEST(Surface, SingleVoxelsFarApart) {
  const Grid grid{{40, 30, 20}, {0.5, 1.5, 4}};
  std::vector<uint8_t> a(static_cast<size_t>(grid.num_voxels()), 0), b = a;
  a.front() = b.back() = 7;
  const double expected = std::sqrt(std::pow(39 * 0.5, 2) + std::pow(29 * 1.5, 2) + std::pow(19 * 4.0, 2));
  const SurfaceDistances distances = surface_distances(a, b, 7, grid);
  expect_same(distances.a_to_b, {expected});
  expect_same(distances.b_to_a, {expected});
  EXPECT_EQ(hd95_pooled(distances), distances.a_to_b[0]);
}

TEST(Surface, OneVoxelIsAGrid) {
  const SurfaceDistances distances =
      surface_distances(std::vector<uint8_t>{1}, std::vector<uint8_t>{1}, 1, {{1, 1, 1}, {1, 1, 1}});
  EXPECT_EQ(distances.a_to_b, std::vector<double>{0});
  EXPECT_EQ(distances.b_to_a, std::vector<double>{0});
}

// The outline of a slice, not all of its voxels; in a volume every voxel of one slice is surface.
TEST(Surface, SlicesHaveOutlines) {
  const std::vector<uint8_t> full(25, 1);
  EXPECT_EQ(surface_distances(full, full, 1, {{5, 5, 1}, {1, 1, 1}}).a_to_b.size(), 16U);
  EXPECT_EQ(surface_distances(full, full, 1, {{1, 5, 5}, {1, 1, 1}}).a_to_b.size(), 16U);
  std::vector<uint8_t> two(50, 0);
  std::fill(two.begin(), two.begin() + 25, uint8_t{1});
  EXPECT_EQ(surface_distances(two, two, 1, {{5, 5, 2}, {1, 1, 1}}).a_to_b.size(), 25U);
}

// numpy.percentile([0, ..., 20], 95) is 19; of [0, 1, 2, 3] 2.85.
TEST(Surface, PercentilesAreNumpys) {
  SurfaceDistances distances{{3, 0, 2, 1}, {0}};
  EXPECT_DOUBLE_EQ(hd95_max_directed(distances), 2.85);
  EXPECT_DOUBLE_EQ(hd95_pooled(distances), 2.8);
  distances.a_to_b.clear();
  for (int i = 20; i >= 0; --i) distances.a_to_b.push_back(i);
  EXPECT_DOUBLE_EQ(hd95_max_directed(distances), 19);
}

// 5 voxels of 0.2 mm, which a NIfTI file holds as 0.200000003.
TEST(Surface, ToleranceForgivesSpacingOf32Bits) {
  const SurfaceDistances distances{{5 * static_cast<double>(0.2F)}, {5 * static_cast<double>(0.2F)}};
  EXPECT_GT(distances.a_to_b[0], 1.0);
  EXPECT_EQ(surface_dice(distances, 1.0), 1);
  EXPECT_EQ(surface_dice(distances, 0.9999), 0);
}

TEST(Surface, WrongSizeIsTheCallersError) {
  const std::vector<uint8_t> three(3, 0);
  EXPECT_EQ(test::error_of([&] {
              surface_distances(three, three, 1, {{2, 1, 1}, {1, 1, 1}});
            }).code(),
            ExitCode::internal);
}

class MedPy : public ::testing::Test {
 protected:
  static json expected() { return json::parse(test::slurp(test::tests_folder() / "golden" / "surface_expected.json")); }
  static void expect_scores(const ClassScores& ours, const json& theirs) {
    EXPECT_NEAR(ours.dice, theirs["dice"].get<double>(), 1e-14);
    EXPECT_NEAR(ours.hd95_mm, theirs["hd95"].get<double>(), 1e-12);
    EXPECT_NEAR(ours.asd_mm, theirs["assd"].get<double>(), 1e-12);
  }
};

TEST_F(MedPy, MadeUpMasks) {
  const json golden = expected();
  ASSERT_GE(golden["cases"].size(), 20U);
  for (const json& one : golden["cases"]) {
    SCOPED_TRACE(one["size"].dump());
    const Grid grid{one["size"].get<std::array<int64_t, 3>>(), one["spacing"].get<std::array<double, 3>>()};
    const auto mask = [&](const json& runs) {
      std::vector<uint8_t> labels;
      uint8_t value = 0;
      for (const json& run : runs) {
        labels.insert(labels.end(), run.get<size_t>(), value);
        value = static_cast<uint8_t>(1 - value);
      }
      return labels;
    };
    expect_scores(score_segmentation(mask(one["a"]), mask(one["b"]), grid, 1, {}).at(0), one);
  }
}

TEST_F(MedPy, HippocampusShifted) {
  const json golden = expected()["real"];
  const io::LabelMap truth = io::read_label_map(test::hippocampus() / "labels" / golden["file"].get<std::string>());
  const auto shift = golden["shift"].get<std::array<int64_t, 3>>();
  const Grid grid{truth.size, golden["spacing"].get<std::array<double, 3>>()};
  const auto [nx, ny, nz] = truth.size;
  std::vector<uint8_t> shifted(truth.labels.size());
  size_t i = 0;
  for (int64_t z = 0; z < nz; ++z) {
    for (int64_t y = 0; y < ny; ++y) {
      for (int64_t x = 0; x < nx; ++x) {
        const int64_t to = (x + shift[0] + nx) % nx + nx * ((y + shift[1] + ny) % ny + ny * ((z + shift[2] + nz) % nz));
        shifted[static_cast<size_t>(to)] = truth.labels[i++];
      }
    }
  }
  const std::vector<ClassScores> scores = score_segmentation(shifted, truth.labels, grid, 2, {});
  ASSERT_EQ(scores.size(), golden["classes"].size());
  for (size_t label = 0; label < scores.size(); ++label) expect_scores(scores[label], golden["classes"][label]);
}

}  // namespace
}  // namespace vmae::metrics
