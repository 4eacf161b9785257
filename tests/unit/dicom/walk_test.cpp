// Files that DCMTK would follow down to the end of the stack, in every syntax that can nest.
#include <gtest/gtest.h>
#include <zlib.h>

#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/dicom/group.h"
#include "vmae/dicom/volume.h"

namespace vmae::io {
namespace {

using namespace std::string_literals;

constexpr size_t kDeep = 100'000;  // levels; 16 or 20 bytes each
constexpr uint32_t kUndefined = 0xFFFFFFFF;

struct Syntax {
  const char* uid;
  bool is_explicit = true, is_big = false;
};
constexpr Syntax kExplicit{"1.2.840.10008.1.2.1"}, kImplicit{"1.2.840.10008.1.2", false},
    kBig{"1.2.840.10008.1.2.2", true, true}, kDeflated{"1.2.840.10008.1.2.1.99"};

std::string bytes_of(uint64_t value, size_t size, bool is_big) {
  std::string bytes;
  for (size_t i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * (is_big ? size - 1 - i : i)));
  return bytes;
}

std::string tag(uint32_t group, uint32_t element, bool is_big = false) {
  return bytes_of(group, 2, is_big) + bytes_of(element, 2, is_big);
}

std::string sequence(const Syntax& syntax, uint32_t length, const std::string& vr = "SQ") {
  return tag(0x0008, 0x1140, syntax.is_big) + (syntax.is_explicit ? vr + "\0\0"s : ""s) +
         bytes_of(length, 4, syntax.is_big);
}

std::string item(const Syntax& syntax, uint32_t length) {
  return tag(0xFFFE, 0xE000, syntax.is_big) + bytes_of(length, 4, syntax.is_big);
}

std::string meta(const Syntax& syntax) {
  std::string uid = syntax.uid;
  if (uid.size() % 2 != 0) uid += '\0';
  const std::string element = tag(2, 0x10) + "UI" + bytes_of(uid.size(), 2, false) + uid;
  return std::string(128, '\0') + "DICM" + tag(2, 0) + "UL\4\0"s + bytes_of(element.size(), 4, false) + element;
}

std::string nested(const Syntax& syntax, size_t levels) {
  std::string body;
  for (size_t i = 0; i < levels; ++i) body += sequence(syntax, kUndefined) + item(syntax, kUndefined);
  return body;
}

// Every length is given: built from the inside, backwards.
std::string nested_with_lengths(const Syntax& syntax, size_t levels) {
  std::string backwards;
  for (size_t i = 0; i < levels; ++i) {
    const std::string inner = item(syntax, static_cast<uint32_t>(backwards.size()));
    backwards.append(inner.rbegin(), inner.rend());
    const std::string outer = sequence(syntax, static_cast<uint32_t>(backwards.size()));
    backwards.append(outer.rbegin(), outer.rend());
  }
  return {backwards.rbegin(), backwards.rend()};
}

std::string deflated(std::string bytes) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

TEST(DicomWalk, DeepFilesAreRefused) {
  const test::TempFolder folder;
  const std::vector<std::pair<const char*, std::string>> files{
      {"explicit", meta(kExplicit) + nested(kExplicit, kDeep)},
      {"implicit", meta(kImplicit) + nested(kImplicit, kDeep)},
      {"big endian", meta(kBig) + nested(kBig, kDeep)},
      {"deflated", meta(kDeflated) + deflated(nested(kDeflated, kDeep))},
      {"with lengths", meta(kExplicit) + nested_with_lengths(kExplicit, kDeep)},
      {"implicit with lengths", meta(kImplicit) + nested_with_lengths(kImplicit, kDeep)},
      {"in a value of unknown type", meta(kExplicit) + sequence(kExplicit, kUndefined, "UN") +
                                         item(kImplicit, kUndefined) + nested(kImplicit, kDeep)},
      {"in the meta header", std::string(128, '\0') + "DICM" + tag(2, 1) + "SQ\0\0\xff\xff\xff\xff"s +
                                 item(kExplicit, kUndefined) + nested(kExplicit, kDeep)},
      {"without a preamble", tag(8, 0x16) + "UI\2\0001\0"s + nested(kExplicit, kDeep)}};
  for (const auto& [name, bytes] : files) {
    const auto path = folder.write("deep.dcm", bytes);
    EXPECT_TRUE(test::contains(test::error_of([&] { read_dicom({path}); }).what(), "nest more deeply")) << name;
    EXPECT_EQ(group_dicom({path}).refused.size(), 1U) << name;
  }
}

TEST(DicomWalk, ValuesThatTheFileCannotHoldAreRefused) {
  const test::TempFolder folder;
  const std::string value = tag(0x0009, 0x1010) + "OB\0\0"s + bytes_of(0x7FFFFFF0, 4, false) + "abcd";
  for (const std::string& bytes : {meta(kDeflated) + deflated(value), meta(kExplicit) + value,
                                   meta(kDeflated) + deflated(tag(9, 0x1010) + std::string(100, 'P'))}) {
    EXPECT_TRUE(test::contains(test::error_of([&] { read_dicom({folder.write("a.dcm", bytes)}); }).what(),
                               "claims far more bytes"));
  }
}

TEST(DicomWalk, OrdinaryNestingIsNotRefused) {
  const test::TempFolder folder;
  const auto refusal = [&](const std::string& bytes) {
    // these have no pixels
    return std::string(test::error_of([&] { read_dicom({folder.write("a.dcm", bytes)}); }).what());
  };
  EXPECT_FALSE(test::contains(refusal(meta(kExplicit) + nested_with_lengths(kExplicit, 40)), "nest more deeply"));
  std::string side_by_side;
  for (int i = 0; i < 1000; ++i) side_by_side += nested_with_lengths(kImplicit, 2);
  EXPECT_FALSE(test::contains(refusal(meta(kImplicit) + side_by_side), "nest more deeply"));
}

}  // namespace
}  // namespace vmae::io
