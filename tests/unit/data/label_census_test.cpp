#include "vmae/data/label_census.h"

#include <gtest/gtest.h>

#include "support/errors.h"
#include "vmae/data/mixture.h"

namespace vmae::data {
namespace {

// Slices of 4 x 4 with masks given as one value per slice; -1: can't be read.
class MaskSource : public SampleSource {
 public:
  explicit MaskSource(std::vector<int> values) : values_(std::move(values)) {}
  int64_t size() const override { return static_cast<int64_t>(values_.size()); }
  std::string id(int64_t index) const override { return concat("slice", index); }
  std::string file_name(int64_t index) const override { return id(index); }
  int64_t num_files() const override { return size(); }
  const float* labels(int64_t) const override { return nullptr; }
  uint32_t checksum(uint32_t crc) const override { return crc; }
  Slice read(int64_t index, bool, SliceBuffer& buffer) const override {
    const int value = values_[static_cast<size_t>(index)];
    if (value < 0) throw Error(ExitCode::data, "the mask lies on another grid");
    buffer.pixels.assign(16, std::byte{1});
    buffer.mask.assign(16, std::byte{0});
    for (size_t i = 0; i < 4; ++i) buffer.mask[i] = static_cast<std::byte>(value);
    return {4,
            4,
            1,
            io::StoredType::u8,
            buffer.pixels.data(),
            {},
            {},
            reinterpret_cast<const uint8_t*>(buffer.mask.data())};
  }

 private:
  std::vector<int> values_;
};

std::unique_ptr<Dataset> dataset_of(std::vector<int> values, double max_bad = 0.5) {
  std::vector<std::unique_ptr<SampleSource>> sources;
  const auto count = static_cast<int64_t>(values.size());
  sources.push_back(std::make_unique<MaskSource>(std::move(values)));
  auto quarantine = std::make_shared<Quarantine>("", max_bad);
  quarantine->expect(count);
  return std::make_unique<Dataset>(std::move(sources), ImageOptions{}, quarantine, Targets{.mask = true});
}

TEST(LabelCensus, CountsAndNames) {
  const auto dataset = dataset_of({0, 2, 255, 1, 2, -1});
  const LabelCensus census = take_census(*dataset, 255);
  EXPECT_EQ(census.has_foreground, (std::vector<bool>{false, true, false, true, true, false}));
  EXPECT_EQ(census.num_with_foreground, 3);
  EXPECT_EQ(census.is_unusable, (std::vector<bool>{false, false, false, false, false, true}));
  EXPECT_EQ(census.num_unusable, 1);
  EXPECT_EQ(census.num_pixels[2], 8);
  EXPECT_EQ(census.first_sample[2], 1);
  io::LabelFacts facts;
  add_facts(census, *dataset, facts);
  EXPECT_EQ(facts.num_masks, 5);
  EXPECT_EQ(facts.voxels[2], 8);
  EXPECT_EQ(facts.first[2], "the mask of slice1");
  const io::LabelMeaning meaning = io::label_meaning({.ignore = 255}, facts);
  EXPECT_EQ(meaning.names, (std::vector<std::string>{"1", "2"}));
  EXPECT_TRUE(meaning.keeps_values);
}

TEST(LabelCensus, ClassesInThePlaceOfValues) {
  const auto dataset = dataset_of({0, 128, 255, 128, 7});
  io::LabelFacts facts;
  const LabelCensus census = take_census(*dataset, 7);
  add_facts(census, *dataset, facts);
  const io::LabelMeaning meaning = io::label_meaning({.values = {255, 128}, .ignore = 7}, facts);
  const LabelCensus classes = in_classes(census, meaning);
  EXPECT_EQ(classes.num_pixels[1], 4);
  EXPECT_EQ(classes.num_pixels[2], 8);
  EXPECT_EQ(classes.first_sample[2], 1);
  EXPECT_EQ(classes.num_pixels[io::kIgnored], 4);
  dataset->set_classes(meaning.class_of);
  SliceBuffer buffer;
  const std::array<uint8_t, 5> expected{0, 2, 1, 2, io::kIgnored};
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_EQ(dataset->read(static_cast<int64_t>(i), true, buffer).mask[0], expected[i]) << i;
}

TEST(LabelCensus, TooManyBadMasks) {
  const auto dataset = dataset_of({-1, -1, 1}, 0.4);
  EXPECT_EQ(test::error_of([&] { take_census(*dataset, -1); }).code(), ExitCode::data);
}

TEST(MarkedOrder, EveryGroupHasItsShare) {
  std::vector<bool> marked(103);
  for (size_t i = 0; i < 10; ++i) marked[i * 7] = true;
  const auto plain = epoch_order(103, 5, 2, true), order = marked_order(plain, marked, 0.5, 8, 5, 2);
  EXPECT_EQ(order, marked_order(plain, marked, 0.5, 8, 5, 2));
  EXPECT_NE(order, marked_order(plain, marked, 0.5, 8, 5, 3));
  ASSERT_EQ(order.size(), plain.size());
  std::vector<int> seen(103);
  for (size_t begin = 0; begin < order.size(); begin += 8) {
    const size_t end = std::min(order.size(), begin + 8);
    size_t count = 0;
    for (size_t i = begin; i < end; ++i)
      count += marked[static_cast<size_t>(order[i])] ? 1 : 0, ++seen[static_cast<size_t>(order[i])];
    EXPECT_GE(2 * count, end - begin);
  }
  // replacements are spread evenly
  for (size_t i = 0; i < seen.size(); ++i) EXPECT_TRUE(marked[i] ? seen[i] >= 3 : seen[i] <= 1) << i;
  EXPECT_EQ(marked_order(plain, std::vector<bool>(103), 0.5, 8, 5, 2), plain);
  EXPECT_EQ(marked_order(plain, marked, 0.0, 8, 5, 2), plain);
}

}  // namespace
}  // namespace vmae::data
