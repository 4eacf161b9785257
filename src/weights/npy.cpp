// An entry of the zip is a .npy: "\x93NUMPY", two bytes of version, the length of the header (two bytes in version 1,
// else four, little-endian), the header, the numbers. The header is a dict as Python writes it:
// {'descr': '<f4', 'fortran_order': False, 'shape': (7, 7, 3, 64), }
#include "npy.h"

#include <optional>
#include <regex>
#include <set>

#include "input_file.h"
#include "vmae/core/text.h"

namespace vmae::weights {
namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 34;  // of all arrays
constexpr uint64_t kMostPerByte = 1032;             // that a byte of deflated data can be: a small file holds little
constexpr size_t kMostHeader = 1024;                // of an array of numbers
constexpr const char* kResaveArrays = "save it anew in Python: numpy.savez(new, **{k: v.astype('float32') for ...})";

uint64_t little_endian(const std::string& bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

const Dtype* dtype_of(const std::string& description, const ZipEntry& entry) {
  if (description.find('O') != std::string::npos)
    entry.refuse("an array of Python objects, which only executing it could read", kResaveArrays);
  if (const Dtype* dtype = find_dtype(&Dtype::numpy, description)) return dtype;
  entry.refuse(concat("numbers of type ", description, " are not read"), kResaveArrays);
}

NpyHeader parse(const std::string& header, const ZipEntry& entry) {
  static const std::regex dict(
      R"(\{'descr': '([^']{1,8})', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\), ?\}\s*)");
  std::smatch match;
  if (!std::regex_match(header, match, dict))
    entry.refuse("its header is not that of an array of numbers", kResaveArrays);
  NpyHeader array{.dtype = dtype_of(match[1], entry), .is_column_by_column = match[2] == "True"};
  auto bytes = static_cast<uint64_t>(array.dtype->bytes);
  static const std::regex number("[0-9]+");
  const std::string sizes = match[3];
  for (std::sregex_iterator it(sizes.begin(), sizes.end(), number), end; it != end; ++it) {
    const std::optional<int64_t> size = parse_integer(it->str());
    if (!size || (*size > 0 && bytes > kMostBytes / static_cast<uint64_t>(*size))) entry.refuse("is too large");
    array.shape.push_back(*size);
    bytes *= static_cast<uint64_t>(*size);
  }
  if (bytes > entry.size()) entry.refuse(concat("says that it has ", bytes, " bytes, but is ", entry.size(), " long"));
  return array;
}

NpyHeader read_npy_header(ZipEntry& entry) {
  const std::string magic = entry.read(8);
  if (!magic.starts_with("\x93NUMPY")) entry.refuse("is no .npy array");
  const uint64_t length = little_endian(entry.read(magic[6] == 1 ? 2 : 4));
  if (length > kMostHeader) entry.refuse("its header is too long");
  return parse(entry.read(length), entry);
}

}  // namespace

bool is_npz(const std::string& head) {
  constexpr size_t kNameLength = 26, kName = 30;  // in a zip's first header
  if (!head.starts_with("PK\x03\x04") || head.size() < kName) return false;
  return head.substr(kName, little_endian(head.substr(kNameLength, 2))).ends_with(".npy");
}

void for_each_npy(const std::filesystem::path& path, const NpyVisit& visit) {
  const ZipFile zip(path);
  std::set<std::string> names;
  const uint64_t most = std::min(kMostBytes, kMostPerByte * InputFile(path).size());
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < zip.count(); ++i) {
    ZipEntry entry = zip.entry(i);
    const std::string name = entry.name().substr(0, entry.name().rfind(".npy"));
    if (!entry.name().ends_with(".npy")) entry.refuse("is no .npy array");
    if (!names.insert(name).second) entry.refuse("is there twice");
    bytes += std::min(entry.size(), kMostBytes);
    if (bytes > most) fail(path, "says that it holds more than it can");
    visit(name, read_npy_header(entry), entry);
  }
}

}  // namespace vmae::weights
