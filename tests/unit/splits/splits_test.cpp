#include "vmae/splits/splits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <tuple>

#include "support/errors.h"

namespace vmae::io {
namespace {

using NameList = std::vector<std::string>;
const std::vector<std::string> kSchemes{"5fold", "kfold", "72/8/20", "90/10"};

// Patients with one to four cases. num_classes > 0: of unequal frequency,
// and every eighth patient has none; num_findings > 0: several per patient.
std::vector<SplitCase> made_up(uint32_t seed, int num_patients, int num_classes, int num_findings = 0) {
  std::mt19937 random(seed);
  std::vector<SplitCase> cases;
  for (int patient = 0; patient < num_patients; ++patient) {
    std::vector<std::string> labels;
    if (num_classes > 0 && random() % 8 != 0) {
      const double u = static_cast<double>(random() % 1000) / 1000;
      labels.push_back(concat("class", static_cast<int>(u * u * num_classes)));  // class0 is the most frequent
    }
    for (int finding = 0; finding < num_findings; ++finding) {
      if (random() % static_cast<uint32_t>(3 + 2 * finding) == 0) labels.push_back(concat("finding", finding));
    }
    const int count = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < count; ++i)
      cases.push_back({concat("p", patient, "/", i, ".png"), concat("Mustermann ", patient), labels});
  }
  return cases;
}

std::map<std::string, std::string> patient_of(const std::vector<SplitCase>& cases) {
  std::map<std::string, std::string> patients;
  for (const auto& one : cases) patients[one.name] = one.patient;
  return patients;
}

std::set<std::string> patients_in(const NameList& names, const std::vector<SplitCase>& cases) {
  const auto patients = patient_of(cases);
  std::set<std::string> found;
  for (const auto& name : names) found.insert(patients.at(name));
  return found;
}

NameList cases_of_patients(const std::set<std::string>& patients, const std::vector<SplitCase>& cases) {
  NameList names;
  for (const auto& one : cases) {
    if (patients.contains(one.patient)) names.push_back(one.name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

SplitOptions with(const std::string& scheme, int64_t seed = 0, const std::string& stratify = "auto") {
  SplitOptions options;
  options.scheme = scheme;
  options.seed = seed;
  options.stratify = stratify;
  if (scheme == "kfold") options.folds = 7;
  return options;
}

bool same(const Splits& a, const Splits& b) {
  if (a.folds.size() != b.folds.size() || a.checksum != b.checksum) return false;
  for (size_t i = 0; i < a.folds.size(); ++i) {
    const SplitFold &x = a.folds[i], &y = b.folds[i];
    if (x.train != y.train || x.val != y.val || x.test != y.test || x.fractions != y.fractions) return false;
  }
  return true;
}

// Nearest to percent of n; never nothing.
void expect_share(size_t size, size_t n, double percent, const std::string& what) {
  const double ideal = static_cast<double>(n) * percent / 100;
  EXPECT_TRUE(std::abs(static_cast<double>(size) - ideal) <= 0.5 || (ideal < 0.5 && size == 1))
      << what << ": " << size << " of " << n;
}

TEST(Splits, EveryPatientIsInOnePartAndSizesAreTheNearestIntegers) {
  for (uint32_t round = 0; round < 120; ++round) {
    const int num_patients = 7 + static_cast<int>(round * 7 % 93);
    const auto cases = made_up(round, num_patients, static_cast<int>(round % 4), static_cast<int>(round % 3));
    const auto n = static_cast<size_t>(num_patients);
    NameList everyone;
    for (const auto& one : cases) everyone.push_back(one.name);
    for (const auto& scheme : kSchemes) {
      const Splits splits = make_splits(cases, with(scheme, round));
      const std::string what = concat(scheme, ", round ", round);
      const size_t k = scheme == "5fold" ? 5 : scheme == "kfold" ? 7 : 1;
      ASSERT_EQ(splits.folds.size(), k) << what;
      std::multiset<std::string> tested;
      for (const SplitFold& fold : splits.folds) {
        std::set<std::string> all;
        size_t count = 0;
        for (const NameList* part : {&fold.train, &fold.val, &fold.test}) {
          EXPECT_TRUE(std::is_sorted(part->begin(), part->end()));
          const auto patients = patients_in(*part, cases);
          EXPECT_EQ(cases_of_patients(patients, cases), *part) << what << ": a patient's cases are apart";
          all.insert(patients.begin(), patients.end());
          count += patients.size();
        }
        EXPECT_EQ(all.size(), n) << what;
        EXPECT_EQ(count, n) << what << ": a patient is in two parts";
        EXPECT_FALSE(fold.train.empty() || fold.val.empty()) << what;
        const size_t val = patients_in(fold.val, cases).size(), test = patients_in(fold.test, cases).size();
        tested.insert(fold.test.begin(), fold.test.end());
        if (k > 1) {
          EXPECT_TRUE(test == n / k || test == (n + k - 1) / k) << what;
          expect_share(val, n - test, 10, what);
        } else {
          expect_share(val, n, scheme == "90/10" ? 10 : 8, what);
          if (scheme == "72/8/20") expect_share(test, n, 20, what);
          EXPECT_EQ(test == 0, scheme == "90/10") << what;
        }
      }
      if (k > 1) {
        EXPECT_EQ(NameList(tested.begin(), tested.end()), cases_of_patients(patients_in(everyone, cases), cases))
            << what << ": each case is tested once";
      }
    }
  }
}

TEST(Splits, FractionsAreNestedAndByPatient) {
  for (uint32_t round = 0; round < 60; ++round) {
    const auto cases = made_up(round, 5 + static_cast<int>(round * 3), 3);
    for (const auto& scheme : {"5fold", "72/8/20"}) {
      for (const SplitFold& fold : make_splits(cases, with(scheme, round)).folds) {
        ASSERT_EQ(fold.fractions.size(), 3U) << "10, 50, 80; 100 is the part itself";
        std::set<std::string> larger = patients_in(fold.train, cases);
        const size_t all = larger.size();
        for (const int64_t percent : {80, 50, 10}) {
          const NameList& names = fold.fractions.at(percent);
          const auto patients = patients_in(names, cases);
          EXPECT_EQ(cases_of_patients(patients, cases), names);
          EXPECT_TRUE(std::includes(larger.begin(), larger.end(), patients.begin(), patients.end()));
          expect_share(patients.size(), all, static_cast<double>(percent), concat(percent, " %"));
          larger = patients;
        }
      }
    }
  }
}

TEST(Splits, IsAFunctionOfCasesAndSeedAloneWhateverTheirOrder) {
  for (uint32_t round = 0; round < 20; ++round) {
    auto cases = made_up(round, 40, 3, static_cast<int>(round % 2) * 4);
    for (const auto& scheme : kSchemes) {
      const Splits first = make_splits(cases, with(scheme, 3));
      EXPECT_TRUE(same(first, make_splits(cases, with(scheme, 3))));
      EXPECT_FALSE(same(first, make_splits(cases, with(scheme, 4))));
      std::shuffle(cases.begin(), cases.end(), std::mt19937(round));
      for (auto& one : cases) std::reverse(one.labels.begin(), one.labels.end());
      EXPECT_TRUE(same(first, make_splits(cases, with(scheme, 3)))) << scheme;
    }
  }
}

// Label -> patients that have it, in a part.
std::map<std::string, double> label_counts(const NameList& names, const std::vector<SplitCase>& cases) {
  const auto patients = patients_in(names, cases);
  std::map<std::string, std::set<std::string>> have;
  for (const auto& one : cases) {
    if (!patients.contains(one.patient)) continue;
    for (const auto& label : one.labels) have[label].insert(one.patient);
    if (one.labels.empty()) have["none"].insert(one.patient);
  }
  std::map<std::string, double> counts;
  for (const auto& [label, who] : have) counts[label] = static_cast<double>(who.size());
  return counts;
}

// The largest deviation, in patients, of a label's count in a part from the part's share of it, and the sum of all.
std::pair<double, double> imbalance(const Splits& splits, const std::vector<SplitCase>& cases) {
  NameList everyone;
  for (const auto& one : cases) everyone.push_back(one.name);
  const auto total = label_counts(everyone, cases);
  const auto num_patients = static_cast<double>(patients_in(everyone, cases).size());
  double largest = 0, sum = 0;
  for (const SplitFold& fold : splits.folds) {
    std::vector<const NameList*> parts{&fold.train, &fold.val, &fold.test};
    for (const auto& [percent, names] : fold.fractions) parts.push_back(&names);
    for (const NameList* part : parts) {
      auto counts = label_counts(*part, cases);
      const auto size = static_cast<double>(patients_in(*part, cases).size());
      for (const auto& [label, n] : total) {
        const double deviation = std::abs(counts[label] - n * size / num_patients);
        largest = std::max(largest, deviation);
        sum += deviation;
      }
    }
  }
  return {largest, sum};
}

TEST(Splits, EveryPartHasItsShareOfEachClassToWithinTwoPatients) {
  for (uint32_t round = 0; round < 30; ++round) {
    const auto cases = made_up(round, 20 + static_cast<int>(round * 5), 2 + static_cast<int>(round % 6));
    for (const auto& scheme : kSchemes) {
      const Splits splits = make_splits(cases, with(scheme, round));
      EXPECT_TRUE(splits.is_stratified);
      // fractions of a part: up to three roundings
      EXPECT_LT(imbalance(splits, cases).first, 2.5) << scheme << ", round " << round;
      Splits parts = splits;
      for (auto& fold : parts.folds) fold.fractions.clear();
      EXPECT_LT(imbalance(parts, cases).first, 2) << scheme << ", round " << round;
    }
  }
}

TEST(Splits, SeveralFindingsPerPatientAreBalancedFarBetterThanByChance) {
  double stratified = 0, by_chance = 0;
  for (uint32_t round = 0; round < 40; ++round) {
    const auto cases = made_up(round, 200, 0, 6);
    NameList everyone;
    for (const auto& one : cases) everyone.push_back(one.name);
    const Splits splits = make_splits(cases, with("5fold", round));
    stratified += imbalance(splits, cases).second;
    auto total = label_counts(everyone, cases);
    const auto rarest =
        *std::min_element(total.begin(), total.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    for (const SplitFold& fold : splits.folds) {  // stands together in the line
      EXPECT_NEAR(label_counts(fold.test, cases)[rarest.first], rarest.second / 5, 0.81);
    }
    const Splits random = make_splits(cases, with("5fold", round, "none"));
    EXPECT_FALSE(random.is_stratified);
    by_chance += imbalance(random, cases).second;
  }
  EXPECT_LT(stratified, 0.5 * by_chance);
}

TEST(Splits, APatientWithSeveralClassesCountsForTheRarest) {
  std::vector<SplitCase> cases;
  for (int i = 0; i < 50; ++i) {  // every patient has a normal image, ten also a rare one
    cases.push_back({concat(i, "a"), concat(i), {"normal"}});
    if (i < 10) cases.push_back({concat(i, "b"), concat(i), {"rare"}});
  }
  for (int64_t seed = 0; seed < 20; ++seed) {
    for (const SplitFold& fold : make_splits(cases, with("5fold", seed)).folds)
      EXPECT_EQ(label_counts(fold.test, cases)["rare"], 2);
  }
}

TEST(Splits, EveryPatientHasTheSameChance) {
  const auto cases = made_up(5, 40, 2);
  std::map<std::string, int> validates, tests, in_ten_percent;
  constexpr int num_seeds = 1500;
  for (int64_t seed = 0; seed < num_seeds; ++seed) {
    const SplitFold fold = make_splits(cases, with("72/8/20", seed)).folds[0];
    for (const auto& patient : patients_in(fold.val, cases)) ++validates[patient];
    for (const auto& patient : patients_in(fold.test, cases)) ++tests[patient];
    for (const auto& patient : patients_in(fold.fractions.at(10), cases)) ++in_ten_percent[patient];
  }
  for (int i = 0; i < 40; ++i) {  // five standard deviations of a binomial count
    const std::string patient = concat("Mustermann ", i);
    EXPECT_NEAR(validates[patient] / double(num_seeds), 3 / 40.0, 0.034) << patient;
    EXPECT_NEAR(tests[patient] / double(num_seeds), 8 / 40.0, 0.052) << patient;
    EXPECT_NEAR(in_ten_percent[patient] / double(num_seeds), 3 / 40.0, 0.034) << patient;
  }
}

TEST(Splits, SaysWhatItWasMadeOf) {
  const std::vector<SplitCase> own{{"a", "a", {}, false}, {"b", "b", {}, false}, {"c", "c", {}, false}};
  const Splits splits = make_splits(own, with("90/10", 9));
  EXPECT_EQ(splits.scheme, "90/10");
  EXPECT_EQ(splits.seed, 9);
  EXPECT_FALSE(splits.is_by_patient);
  EXPECT_FALSE(splits.is_stratified);
  EXPECT_EQ(splits.num_cases, 3);
  EXPECT_EQ(splits.checksum, case_checksum({"c", "a", "b"}));
  EXPECT_NE(splits.checksum, case_checksum({"ca", "b"}));
  EXPECT_EQ(case_checksum({"123456789"}).size(), 15U);
  const auto cases = made_up(1, 9, 2);
  EXPECT_TRUE(make_splits(cases, with("kfold")).is_by_patient);
  EXPECT_EQ(make_splits(cases, with("kfold")).scheme, "7fold");
  EXPECT_EQ(make_splits(cases, with("kfold")).num_patients, 9);
}

// The number of patients with each label, of those in `who`.
std::map<std::string, int> patients_with_labels(const std::vector<SplitCase>& cases, const std::set<std::string>& who) {
  std::map<std::string, std::set<std::string>> patients;
  for (const auto& one : cases) {
    for (const auto& label : one.labels) {
      if (who.contains(one.patient)) patients[label].insert(one.patient);
    }
  }
  std::map<std::string, int> count;
  for (const auto& [label, some] : patients) count[label] = static_cast<int>(some.size());
  return count;
}

TEST(Validation, IsAFunctionOfPatientsLabelsAndSeed) {
  for (const int num_classes : {0, 3}) {
    auto cases = made_up(4, 40, num_classes);
    const auto first = draw_validation(cases, 0.2, 7);
    EXPECT_EQ(first.size(), 8U);
    EXPECT_NE(first, draw_validation(cases, 0.2, 8));
    std::shuffle(cases.begin(), cases.end(), std::mt19937(1));
    EXPECT_EQ(first, draw_validation(cases, 0.2, 7));
  }
  EXPECT_TRUE(draw_validation({}, 0.5, 0).empty());
  EXPECT_EQ(draw_validation({{"a", "a", {}}}, 0.05, 0).size(), 1U);
}

// Classes of random sizes, many of them small: each has its share to within one patient, is never in validation
// alone, and is on both sides if two or more have it, as long as there are as many places as such classes.
TEST(Validation, SmallClassesAreOnBothSides) {
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    const int num_classes = 2 + static_cast<int>(random() % 6);
    std::vector<SplitCase> cases;
    for (int k = 0; k < num_classes; ++k) {
      const int size = 1 + static_cast<int>(random() % (random() % 3 == 0 ? 60 : 4));
      for (int i = 0; i < size; ++i) cases.push_back({concat(k, "/", i), concat("p", k, "/", i), {concat("class", k)}});
    }
    const double fraction = 0.05 + 0.4 * static_cast<double>(random() % 100) / 100;
    const auto drawn = draw_validation(cases, fraction, random());
    const auto places = static_cast<int>(drawn.size());
    EXPECT_EQ(places, std::max(1L, std::lround(static_cast<double>(cases.size()) * fraction)));
    std::set<std::string> everybody;
    for (const auto& one : cases) everybody.insert(one.patient);
    auto all = patients_with_labels(cases, everybody), val = patients_with_labels(cases, drawn);
    const auto num_large = std::count_if(all.begin(), all.end(), [](const auto& one) { return one.second >= 2; });
    const auto num_singles = static_cast<int64_t>(all.size()) - num_large;
    for (const auto& [label, n] : all) {
      const double share = n * static_cast<double>(places) / static_cast<double>(cases.size());
      if (places <= static_cast<int>(cases.size()) - static_cast<int>(all.size())) {
        EXPECT_LT(val[label], n) << label << ": nobody is left to train on";
      }
      if (n >= 2 && places >= num_large) {
        EXPECT_GT(val[label], 0) << label << " of " << n << ", " << places << " places, " << num_singles << " singles";
      }
      EXPECT_LE(val[label], share + 2) << label;
    }
  }
}

TEST(Validation, FindingsAreOnBothSides) {
  for (uint32_t round = 0; round < 60; ++round) {
    const auto cases = made_up(round, 60, 0, 4);
    std::set<std::string> everybody;
    for (const auto& one : cases) everybody.insert(one.patient);
    const auto drawn = draw_validation(cases, 0.15, round);
    auto all = patients_with_labels(cases, everybody), val = patients_with_labels(cases, drawn);
    for (const auto& [label, n] : all) {
      EXPECT_LT(val[label], n) << label;
      if (n >= 2) {
        EXPECT_GT(val[label], 0) << label;
      }
    }
  }
}

TEST(Splits, AnyPercentsThatSumToAHundred) {
  for (const auto& [scheme, train, val, test] :
       std::vector<std::tuple<std::string, double, double, double>>{{"80/10/10", 80, 10, 10},
                                                                    {"70/15/15", 70, 15, 15},
                                                                    {"60/40", 60, 40, 0},
                                                                    {"34/33/33", 34, 33, 33},
                                                                    {"80/0/20", 80, 0, 20},
                                                                    {"1/49/50", 1, 49, 50},
                                                                    {" 80 / 10 / 10 ", 80, 10, 10},
                                                                    {"98/1/1", 98, 1, 1},
                                                                    {"99/1/0", 99, 1, 0}}) {
    for (uint32_t round = 3; round < 120; round += 9) {
      const auto cases = made_up(round, static_cast<int>(round), static_cast<int>(round % 4));
      const auto n = static_cast<size_t>(round);
      const Splits splits = make_splits(cases, with(scheme, round));
      const SplitFold& fold = splits.folds.at(0);
      const auto size = [&](const NameList& part) { return patients_in(part, cases).size(); };
      EXPECT_EQ(size(fold.train) + size(fold.val) + size(fold.test), n);
      EXPECT_GT(size(fold.train), 0U);
      EXPECT_EQ(fold.val.empty(), val == 0);
      EXPECT_EQ(fold.test.empty(), test == 0);
      if (train < 10) continue;  // one is kept for training
      if (val > 0) expect_share(size(fold.val), n, val, scheme);
      if (test > 0) expect_share(size(fold.test), n, test, scheme);
    }
  }
  const auto cases = made_up(1, 40, 3);
  EXPECT_EQ(make_splits(cases, with(" 080/10/ 10")).scheme, "80/10/10");
  EXPECT_TRUE(make_splits(cases, with("80/10/10")).is_stratified);
}

TEST(Splits, PercentsThatMeanNothingAreErrorsThatSayWhy) {
  const auto cases = made_up(1, 40, 0);
  for (const auto& [scheme, said] : std::vector<std::pair<std::string, std::string>>{{"80/10/5", "sum to 95"},
                                                                                     {"80/15/10", "sum to 105"},
                                                                                     {"80", "1 part"},
                                                                                     {"25/25/25/25", "4 parts"},
                                                                                     {"80/10/ten", "'ten'"},
                                                                                     {"80.5/9.5/10", "'80.5'"},
                                                                                     {"110/-10", "'110'"},
                                                                                     {"90/20/-10", "'-10'"},
                                                                                     {"0/50/50", "train"},
                                                                                     {"100/0", "nobody validates"},
                                                                                     {"80/20/", "''"},
                                                                                     {"5folds", "'5folds'"},
                                                                                     {"", "''"}}) {
    const Error error = test::error_of([&] { make_splits(cases, with(scheme)); });
    EXPECT_EQ(error.code(), ExitCode::usage) << scheme;
    EXPECT_TRUE(test::contains(error.what(), said)) << scheme << ": " << error.what();
    EXPECT_TRUE(test::contains(error.hint(), "80/10/10")) << error.hint();
  }
  EXPECT_EQ(test::error_of([&] { make_splits(made_up(1, 2, 0), with("80/10/10")); }).code(), ExitCode::data);
}

TEST(Splits, TooFewPatientsIsAnErrorNeverAnEmptyPart) {
  for (const auto& scheme : kSchemes) {
    const size_t least = scheme == "5fold" ? 5 : scheme == "kfold" ? 7 : scheme == "72/8/20" ? 3 : 2;
    for (size_t n = 0; n <= least; ++n) {
      const auto cases = made_up(3, static_cast<int>(n), 0);
      if (n < least) {
        const Error error = test::error_of([&] { make_splits(cases, with(scheme)); });
        EXPECT_EQ(error.code(), ExitCode::data);
        EXPECT_TRUE(test::contains(error.what(), concat("needs at least ", least, " patients"))) << scheme;
        EXPECT_TRUE(test::contains(error.what(), concat("there are ", n)));
      } else {
        for (const SplitFold& fold : make_splits(cases, with(scheme)).folds) {
          EXPECT_FALSE(fold.train.empty() || fold.val.empty() || (fold.test.empty() && scheme != "90/10")) << scheme;
          for (const auto& [percent, names] : fold.fractions) EXPECT_FALSE(names.empty());
        }
      }
    }
  }
  SplitOptions two = with("kfold");
  two.folds = 2;
  EXPECT_EQ(test::error_of([&] { make_splits(made_up(3, 3, 0), two); }).code(), ExitCode::data);
  EXPECT_EQ(make_splits(made_up(3, 4, 0), two).folds.size(), 2U);
}

TEST(Splits, ContradictionsAreErrors) {
  const auto cases = made_up(1, 20, 0);
  SplitOptions options;
  options.folds = 10;
  EXPECT_TRUE(test::contains(test::error_of([&] { make_splits(cases, options); }).hint(), "split.scheme=kfold"));
  options = {};
  options.fractions = {10, 50, 10};
  EXPECT_EQ(test::error_of([&] { make_splits(cases, options); }).code(), ExitCode::usage);
  EXPECT_EQ(test::error_of([&] { make_splits(cases, with("5fold", 0, "label")); }).code(), ExitCode::data);
  EXPECT_TRUE(test::contains(test::error_of([&] {
                               make_splits({{"a", "x", {}}, {"b", "y", {}}, {"a", "z", {}}}, with("90/10"));
                             }).what(),
                             "case a comes twice"));
}

}  // namespace
}  // namespace vmae::io
