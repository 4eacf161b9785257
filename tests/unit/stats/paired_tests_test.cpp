#include "vmae/stats/paired_tests.h"

#include <gtest/gtest.h>

#include "simulate.h"
#include "support/errors.h"

namespace vmae::stats {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const std::vector<double> none;

// To 1e-10 of the value (and p-values near 0 are no exception).
void expect_same(double value, double golden) { EXPECT_NEAR(value, golden, 1e-10 * std::abs(golden)); }

TEST(PairedTests, AreWhatScipySays) {
  int exact = 0, normal = 0;
  const auto all = test::golden("paired_tests.json");
  for (const auto& pairs : all["paired"]) {
    const auto a = pairs["a"].get<std::vector<double>>(), b = pairs["b"].get<std::vector<double>>();
    SCOPED_TRACE(a.size());
    const TestResult t = paired_t_test(a, b), w = wilcoxon_signed_rank(a, b);
    if (!pairs["t"].is_null()) {
      expect_same(t.statistic, pairs["t"][0]);
      expect_same(t.p, pairs["t"][1]);
      EXPECT_EQ(t.n, static_cast<int64_t>(a.size()));
    }
    if (!pairs["wilcoxon"].is_null()) {
      expect_same(w.statistic, pairs["wilcoxon"][0]);
      expect_same(w.p, pairs["wilcoxon"][1]);
      ++(w.method == "Wilcoxon signed-rank (exact)" ? exact : normal);
    }
  }
  EXPECT_GE(exact, 15);
  EXPECT_GE(normal, 10);
}

TEST(PairedTests, Degenerate) {
  // 0.1 less, up to rounding
  const std::vector<double> one{0.5}, two{0.1, 0.7}, more{0.3, 0.6, 1.1}, shifted{0.2, 0.5, 1.0};
  EXPECT_TRUE(std::isnan(paired_t_test(none, none).p) && std::isnan(paired_t_test(one, one).p));
  EXPECT_EQ(paired_t_test(one, one).remark, "fewer than two pairs");
  EXPECT_EQ(paired_t_test(two, two).p, 1);
  EXPECT_EQ(paired_t_test(two, two).remark, "no pair differs");
  EXPECT_EQ(paired_t_test(more, shifted).p, 0);
  EXPECT_EQ(paired_t_test(more, shifted).statistic, kInfinity);
  EXPECT_EQ(paired_t_test(shifted, more).statistic, -kInfinity);
  EXPECT_EQ(paired_t_test(more, shifted).remark, "all pairs differ by the same amount");

  EXPECT_TRUE(std::isnan(wilcoxon_signed_rank(none, none).p));
  EXPECT_EQ(wilcoxon_signed_rank(none, none).remark, "no pairs");
  EXPECT_EQ(wilcoxon_signed_rank(two, two).p, 1);
  EXPECT_EQ(wilcoxon_signed_rank(two, two).n, 0);
  EXPECT_EQ(wilcoxon_signed_rank(two, two).remark, "no pair differs");
  EXPECT_EQ(wilcoxon_signed_rank(one, std::vector<double>{0.3}).p, 1);
  EXPECT_EQ(wilcoxon_signed_rank(two, std::vector<double>{0.1, 0.6}).remark, "1 pair does not differ and is left out");

  EXPECT_TRUE(
      test::contains(test::error_of([&] { paired_t_test(one, two); }).what(), "1 values cannot be paired with 2"));
  EXPECT_EQ(test::error_of([&] {
              wilcoxon_signed_rank(two, std::vector<double>{0, std::nan("")});
            }).code(),
            ExitCode::data);
}

TEST(Holm, IsWhatItsDefinitionSays) {
  const auto all = test::golden("paired_tests.json");
  for (const auto& set : all["holm"]) {
    const std::vector<double> corrected = holm(set["p"].get<std::vector<double>>());
    for (size_t i = 0; i < corrected.size(); ++i) EXPECT_NEAR(corrected[i], set["corrected"][i].get<double>(), 1e-14);
  }
}

TEST(Holm, ByHand) {
  const std::vector<double> corrected = holm(std::vector<double>{0.01, std::nan(""), 0.04, 0.03});
  EXPECT_DOUBLE_EQ(corrected[0], 0.03);  // 3 * 0.01
  EXPECT_TRUE(std::isnan(corrected[1]));
  EXPECT_DOUBLE_EQ(corrected[2], 0.06);  // 0.04, but not below 2 * 0.03
  EXPECT_DOUBLE_EQ(corrected[3], 0.06);
  EXPECT_TRUE(holm(none).empty());
  EXPECT_EQ(holm(std::vector<double>{0.7, 0.9}), (std::vector<double>{1, 1}));
}

}  // namespace
}  // namespace vmae::stats
