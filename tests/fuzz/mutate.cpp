#include "mutate.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace vmae::test {
namespace {

// Numbers at which sizes and offsets go wrong.
constexpr std::array<uint64_t, 14> kExtremes{0,
                                             1,
                                             0x7f,
                                             0x80,
                                             0xff,
                                             0x7fff,
                                             0x8000,
                                             0xffff,
                                             0x7fffffff,
                                             0x80000000,
                                             0xffffffff,
                                             0x100000000,
                                             0x7fffffffffffffff,
                                             ~uint64_t{0}};

// Deliberately not a std::uniform_int_distribution, whose results differ between libraries.
size_t below(std::mt19937& random, size_t end) { return end == 0 ? 0 : random() % end; }

void put_number(std::string& bytes, size_t at, std::mt19937& random) {
  const size_t size = size_t{1} << below(random, 4);
  const uint64_t value = kExtremes[below(random, kExtremes.size())];
  const bool is_big_endian = below(random, 2) == 0;
  for (size_t i = 0; i < size && at + i < bytes.size(); ++i)
    bytes[at + i] = static_cast<char>(value >> (8 * (is_big_endian ? size - 1 - i : i)));
}

void change_digits(std::string& bytes, size_t at, std::mt19937& random) {
  const size_t first = std::min(bytes.find_first_of("0123456789", at), bytes.size());
  const size_t end = std::min(bytes.find_first_not_of("0123456789.", first), bytes.size());
  static constexpr std::array<const char*, 10> kTexts{
      "0", "-1", "1", "65536", "2147483648", "4294967295", "9223372036854775807", "1e308", "nan", ""};
  bytes.replace(first, end - first, kTexts[below(random, kTexts.size())]);
}

void edit(std::string& bytes, const std::string& other, std::mt19937& random) {
  // Half of the edits go into the first 512 bytes, where most formats have their structure.
  const size_t at = below(random, below(random, 2) == 0 ? std::min<size_t>(bytes.size(), 512) : bytes.size());
  switch (below(random, 9)) {
    case 0:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(random, 8)));
      break;
    case 1:
      bytes[at] = static_cast<char>(random());
      break;
    case 2:
      bytes.resize(at);
      break;
    case 3:
    case 4:
      put_number(bytes, at, random);
      break;
    case 5:
      change_digits(bytes, at, random);
      break;
    case 6:
      bytes.erase(at, 1 + below(random, 32));
      break;
    case 7: {
      const std::string part = bytes.substr(below(random, bytes.size()), 1 + below(random, 64));
      bytes.insert(at, part);
      break;
    }
    default:
      if (!other.empty()) bytes.replace(at, std::string::npos, other.substr(below(random, other.size())));
  }
}

}  // namespace

std::string mutated(std::string bytes, const std::string& other, std::mt19937& random, size_t max_size) {
  for (size_t edits = 1 + below(random, 4); edits > 0 && !bytes.empty(); --edits) edit(bytes, other, random);
  if (bytes.size() > max_size) bytes.resize(max_size);
  return bytes;
}

}  // namespace vmae::test
