#include "vmae/report/tensorboard.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <variant>
#include <vector>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace vmae {
namespace {

using test::slurp;
using test::TempFolder;

// An independent reader: bitwise CRC, protobuf fields by number. Problems are test failures.
uint32_t bitwise_crc32c(const std::string& bytes) {
  uint32_t crc = 0xffffffffU;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int k = 0; k < 8; ++k) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82f63b78U : crc >> 1;
  }
  return crc ^ 0xffffffffU;
}

template <class T>
T load(const std::string& bytes, size_t at) {
  T value{};
  if (at + sizeof value > bytes.size()) throw std::out_of_range("short file");
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

uint32_t unmasked(uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8U;
  return rotated >> 17 | rotated << 15;
}

// Whole records; what is left at the end goes to `rest`.
std::vector<std::string> records(const std::string& file, std::string* rest = nullptr) {
  std::vector<std::string> out;
  size_t at = 0;
  while (at + 12 <= file.size()) {
    const auto length = load<uint64_t>(file, at);
    EXPECT_EQ(unmasked(load<uint32_t>(file, at + 8)), bitwise_crc32c(file.substr(at, 8)));
    if (at + 16 + length > file.size()) break;
    out.push_back(file.substr(at + 12, length));
    EXPECT_EQ(unmasked(load<uint32_t>(file, at + 12 + length)), bitwise_crc32c(out.back()));
    at += 16 + length;
  }
  if (rest != nullptr)
    *rest = file.substr(at);
  else
    EXPECT_EQ(at, file.size());
  return out;
}

using Field = std::variant<uint64_t, double, float, std::string>;
using Message = std::map<int, Field>;

Message decode(const std::string& bytes) {
  Message message;
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.at(at++));
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.size()) {
    const uint64_t head = varint();
    const int number = static_cast<int>(head >> 3);
    EXPECT_EQ(message.count(number), 0U);
    switch (head & 7) {
      case 0:
        message[number] = varint();
        break;
      case 1:
        message[number] = load<double>(bytes, at);
        at += 8;
        break;
      case 5:
        message[number] = load<float>(bytes, at);
        at += 4;
        break;
      case 2: {
        const uint64_t length = varint();
        if (at + length > bytes.size()) throw std::out_of_range("short field");
        message[number] = bytes.substr(at, length);
        at += length;
        break;
      }
      default:
        ADD_FAILURE() << "wire type " << (head & 7);
        return message;
    }
  }
  return message;
}

template <class T>
T get(const Message& message, int field) {
  return std::get<T>(message.at(field));
}
Message inner(const Message& message, int field) { return decode(get<std::string>(message, field)); }

std::filesystem::path only_file(const TempFolder& folder) {
  std::vector<std::filesystem::path> files(std::filesystem::directory_iterator(folder.path()),
                                           std::filesystem::directory_iterator{});
  EXPECT_EQ(files.size(), 1U);
  return files.at(0);
}

TEST(TensorBoard, FileNameAndVersion) {
  TempFolder folder;
  const TensorBoardWriter writer(folder.path());
  const auto path = only_file(folder);
  EXPECT_EQ(path.filename().string().rfind("events.out.tfevents.", 0), 0U);
  const auto events = records(slurp(path));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(get<std::string>(decode(events[0]), 3), "brain.Event:2");
  EXPECT_GT(get<double>(decode(events[0]), 1), 1.7e9);
}

TEST(TensorBoard, Scalars) {
  TempFolder folder;
  TensorBoardWriter writer(folder.path());
  const std::vector<std::pair<int64_t, double>> points = {{0, 0.1},
                                                          {1, -3e38},
                                                          {127, 0},
                                                          {128, 1e-30},
                                                          {1LL << 40, std::nan("")},
                                                          {300, std::numeric_limits<double>::infinity()}};
  for (const auto& [step, value] : points) writer.scalar("train/loss", value, step);
  const auto events = records(slurp(only_file(folder)));
  ASSERT_EQ(events.size(), points.size() + 1);
  for (size_t i = 0; i < points.size(); ++i) {
    const Message event = decode(events[i + 1]);
    EXPECT_EQ(get<uint64_t>(event, 2), static_cast<uint64_t>(points[i].first));
    EXPECT_GT(get<double>(event, 1), 1.7e9);
    const Message value = inner(inner(event, 5), 1);
    EXPECT_EQ(get<std::string>(value, 1), "train/loss");
    const auto expected = static_cast<float>(points[i].second);
    EXPECT_TRUE(std::isnan(expected) ? std::isnan(get<float>(value, 2)) : get<float>(value, 2) == expected);
  }
}

TEST(TensorBoard, Images) {
  TempFolder folder;
  TensorBoardWriter writer(folder.path());
  std::string png(100000, '\0');
  for (size_t i = 0; i < png.size(); ++i) png[i] = static_cast<char>(i * 7);
  writer.image("samples/rebuilt", png, 96, 160, 3, 5);
  const Message event = decode(records(slurp(only_file(folder))).at(1));
  EXPECT_EQ(get<uint64_t>(event, 2), 5U);
  const Message value = inner(inner(event, 5), 1), image = inner(value, 4);
  EXPECT_EQ(get<std::string>(value, 1), "samples/rebuilt");
  EXPECT_EQ(get<uint64_t>(image, 1), 96U);
  EXPECT_EQ(get<uint64_t>(image, 2), 160U);
  EXPECT_EQ(get<uint64_t>(image, 3), 3U);
  EXPECT_EQ(get<std::string>(image, 4), png);
}

TEST(TensorBoard, Texts) {
  TempFolder folder;
  TensorBoardWriter writer(folder.path());
  writer.text("config", "# Title\n\n`a: ä`", 0);
  writer.flush();
  const Message value = inner(inner(decode(records(slurp(only_file(folder))).at(1)), 5), 1);
  EXPECT_EQ(get<std::string>(inner(inner(value, 9), 1), 1), "text");
  const Message tensor = inner(value, 8);
  EXPECT_EQ(get<uint64_t>(tensor, 1), 7U);  // DT_STRING
  EXPECT_EQ(get<uint64_t>(inner(inner(tensor, 2), 2), 1), 1U);
  EXPECT_EQ(get<std::string>(tensor, 8), "# Title\n\n`a: ä`");
}

// Cut anywhere, as a kill would: all records but the last are there.
TEST(TensorBoard, AFileCutAnywhereKeepsItsWholeRecords) {
  TempFolder folder;
  {
    TensorBoardWriter writer(folder.path());
    writer.scalar("a", 1, 1);
    writer.scalar("a", 2, 2);
  }
  const std::string file = slurp(only_file(folder));
  const auto all = records(file);
  const size_t last = all.back().size() + 16;
  for (size_t cut = 1; cut <= last; ++cut) {
    std::string rest;
    EXPECT_EQ(records(file.substr(0, file.size() - cut), &rest).size(), all.size() - 1);
    EXPECT_EQ(rest.size(), last - cut);
  }
}

TEST(TensorBoard, TwoWritersInOneSecondHaveTwoFiles) {
  TempFolder folder;
  TensorBoardWriter a(folder.path()), b(folder.path()), c(folder.path());
  b.scalar("b", 1, 1);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), std::filesystem::directory_iterator{}),
            3);
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    EXPECT_GE(records(slurp(entry.path())).size(), 1U);
}

TEST(TensorBoard, AMissingFolderIsAnError) {
  TempFolder folder;
  EXPECT_EQ(test::error_of([&] { TensorBoardWriter writer(folder / "none"); }).code(), ExitCode::usage);
}

}  // namespace
}  // namespace vmae
