#include "vmae/prepared/prepared.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/prepared/writer.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::TempFolder;

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// A slice of `type` whose bytes look random, so that every bit counts.
std::pair<PreparedItem, std::vector<std::byte>> noisy_item(StoredType type, int64_t height, int64_t width,
                                                           int64_t channels, unsigned seed) {
  PreparedItem item;
  item.height = height;
  item.width = width;
  item.channels = channels;
  item.type = type;
  item.slice = seed;
  item.scaling = {0.5 * seed, -1000};
  item.stored_max = seed;
  item.stats = {1, 2, 3, 4, 5, static_cast<float>(seed)};
  std::vector<std::byte> pixels(item.pixel_bytes());
  for (size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = static_cast<std::byte>((seed = seed * 1664525U + 1013904223U) >> 24);
  return {item, pixels};
}

PreparedCase a_case(const std::string& name, const std::vector<PackedItem>& items) {
  PreparedCase result;
  result.name = name;
  result.patient = "p" + name;
  result.labels = {1, NAN};
  result.modality = "CT";
  result.units = Units::hu;
  result.items_sha256 = items_digest(items);
  return result;
}

// Two shards: cases a (3 items of different types), b (failed) | c (1 item with a mask).
void write_dataset(const fs::path& folder) {
  {
    ShardWriter shard(folder / "shard-0.mdb", 0);
    std::vector<PackedItem> items;
    for (const auto& [type, seed] : {std::pair{StoredType::u8, 1U}, {StoredType::i16, 2U}, {StoredType::f32, 3U}}) {
      const auto [item, pixels] = noisy_item(type, 5, 7, seed, seed);
      items.push_back(pack_item(item, pixels, {}, 0));
    }
    shard.add(a_case("a", items), items);
    PreparedCase failed;
    failed.name = "b";
    failed.failure = "is cut off";
    shard.add(failed, {});
    shard.commit();
  }
  ShardWriter shard(folder / "shard-1.mdb", 2);
  const auto [item, pixels] = noisy_item(StoredType::u16, 2, 3, 1, 4);
  const std::vector<uint8_t> mask{0, 1, 2, 0, 1, 2};
  const std::vector<PackedItem> items{pack_item(item, pixels, mask, 2)};
  shard.add(a_case("c", items), items);
  shard.commit();
  PreparedInfo info;
  info.shards = {{"shard-0.mdb", 0, 2, 0, 0}, {"shard-1.mdb", 0, 1, 0, 0}};
  info.label_names = {"x", "y"};
  info.has_masks = true;
  write_index(folder, complete_info(folder, info));
}

TEST(Prepared, GivesBackWhatWasWritten) {
  const TempFolder folder;
  write_dataset(folder.path());
  EXPECT_TRUE(is_prepared(folder.path()));
  EXPECT_TRUE(is_prepared(folder / "index.json"));
  const PreparedDataset dataset(folder.path());
  EXPECT_EQ(dataset.size(), 4);
  EXPECT_EQ(dataset.info().num_cases, 3);
  EXPECT_EQ(dataset.info().num_failed, 1);
  EXPECT_EQ(dataset.info().label_names, (std::vector<std::string>{"x", "y"}));
  for (const auto& [index, type] : {std::pair{0, StoredType::u8}, {1, StoredType::i16}, {2, StoredType::f32}}) {
    const auto seed = static_cast<unsigned>(index + 1);
    const auto [expected, pixels] = noisy_item(type, 5, 7, seed, seed);
    const PreparedItem item = dataset.item(index);
    EXPECT_EQ(item.type, type);
    EXPECT_EQ(item.channels, seed);
    EXPECT_EQ(item.slice, seed);
    EXPECT_EQ(item.scaling, expected.scaling);
    EXPECT_EQ(item.stats.percentile_high, static_cast<float>(seed));
    std::vector<std::byte> decoded(item.pixel_bytes());
    dataset.decode(item, decoded.data());
    EXPECT_EQ(decoded, pixels);
    std::vector<uint8_t> mask(item.mask_bytes(), 9);
    dataset.decode_mask(item, mask.data());
    EXPECT_EQ(mask, std::vector<uint8_t>(item.mask_bytes(), 0));
  }
  std::vector<uint8_t> mask(6);
  dataset.decode_mask(dataset.item(3), mask.data());
  EXPECT_EQ(mask, (std::vector<uint8_t>{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(dataset.item(3).case_number, 2);
}

TEST(Prepared, CasesCountOverShards) {
  const TempFolder folder;
  write_dataset(folder.path());
  const PreparedDataset dataset(folder.path());
  EXPECT_EQ(dataset.read_case(0).name, "a");
  EXPECT_EQ(dataset.read_case(0).num_items, 3);
  EXPECT_TRUE(std::isnan(dataset.read_case(0).labels[1]));
  EXPECT_EQ(dataset.read_case(1).failure, "is cut off");
  EXPECT_EQ(dataset.read_case(2).first_item, 3);
  EXPECT_EQ(dataset.read_case(2).units, Units::hu);
}

TEST(Prepared, SmoothImagesShrink) {
  PreparedItem item;
  item.height = item.width = 64;
  item.channels = 1;
  item.type = StoredType::i16;
  std::vector<int16_t> values;
  for (int i = 0; i < 64 * 64; ++i) values.push_back(static_cast<int16_t>(100 * (i / 64) + i % 64));
  EXPECT_LT(pack_item(item, bytes_of(values), {}, 0).record.size(), 600U);  // 8192 bytes unpacked
}

TEST(Prepared, AKilledWriterLosesOnlyWhatWasNotCommitted) {
  const TempFolder folder;
  const fs::path file = folder / "s.mdb";
  const auto [item, pixels] = noisy_item(StoredType::u8, 8, 8, 1, 1);
  const std::vector<PackedItem> items{pack_item(item, pixels, {}, 0), pack_item(item, pixels, {}, 0)};
  {
    ShardWriter shard(file, 0);
    shard.add(a_case("a", items), items);
    shard.commit();
    shard.add(a_case("b", items), items);
  }
  ShardWriter shard(file, 0);
  EXPECT_EQ(shard.num_cases(), 1);
  EXPECT_EQ(shard.num_items(), 2);
}

TEST(Prepared, TheDigestIsThatOfTheContent) {
  const TempFolder one, two;
  write_dataset(one.path());
  write_dataset(two.path());
  const PreparedDataset dataset(one.path());
  EXPECT_EQ(dataset.info().digest.size(), 64U);
  EXPECT_EQ(dataset.info().digest, PreparedDataset(two.path()).info().digest);
  EXPECT_EQ(dataset.compute_digest(), dataset.info().digest);
}

TEST(Prepared, DuplicatesAreFoundInOrder) {
  const TempFolder folder;
  DuplicateFinder finder(folder / "d.mdb");
  EXPECT_EQ(finder.first_of("x", 3), 3);
  EXPECT_EQ(finder.first_of("y", 4), 4);
  finder.commit();
  EXPECT_EQ(finder.first_of("x", 7), 3);
  EXPECT_EQ(finder.first_of("x", 3), 3);  // done again after a kill
}

TEST(Prepared, DamageIsAnErrorThatNamesTheDataset) {
  const TempFolder folder;
  write_dataset(folder.path());
  // A byte inside the pixels of the last item, wherever LMDB has put it.
  const std::string shard = test::slurp(folder / "shard-1.mdb");
  const size_t at = shard.find("VMI1");
  ASSERT_NE(at, std::string::npos);
  std::string damaged = shard;
  damaged[at + 90] ^= 1;
  folder.write("shard-1.mdb", damaged);
  const PreparedDataset dataset(folder.path());
  std::vector<std::byte> pixels(dataset.item(3).pixel_bytes());
  const Error error = error_of([&] { dataset.decode(dataset.item(3), pixels.data()); });
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_TRUE(contains(error.what(), folder.path().string()));
  EXPECT_TRUE(contains(error.what(), "wrong checksum"));
  EXPECT_TRUE(contains(error_of([&] { dataset.compute_digest(); }).what(), "wrong checksum"));
  for (const size_t size : {size_t{0}, size_t{100}, size_t{4096}, shard.size() / 2}) {
    folder.write("shard-1.mdb", shard.substr(0, size));
    EXPECT_EQ(error_of([&] { PreparedDataset(folder.path()); }).code(), ExitCode::data) << size;
  }
}

TEST(Prepared, BadIndexesAreErrors) {
  const TempFolder folder;
  EXPECT_TRUE(contains(error_of([&] { PreparedDataset(folder.path()); }).what(), "not finished"));
  EXPECT_FALSE(is_prepared(folder.path()));
  write_dataset(folder.path());
  const std::string good = test::slurp(folder / "index.json");
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    folder.write("index.json", text);
    return std::string(error_of([&] { PreparedDataset(folder.path()); }).what());
  };
  EXPECT_TRUE(contains(replaced("\"version\": 1", "\"version\": 7"), "version 7"));
  EXPECT_TRUE(contains(replaced("shard-0.mdb", "../s.mdb"), "outside of the folder"));
  EXPECT_TRUE(contains(replaced("\"num_items\": 3", "\"num_items\": 2"), "do not add up"));
  EXPECT_TRUE(contains(replaced("{", "["), "is damaged"));
}

}  // namespace
}  // namespace vmae::io
