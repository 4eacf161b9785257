// An entry of the zip is a .npy: "\x93NUMPY", two bytes of version, the length of the header (two bytes in version 1,
// else four, little-endian), the header, the numbers. The header is a dict as Python writes it:
// {'descr': '<f4', 'fortran_order': False, 'shape': (7, 7, 3, 64), }
#include "vmae/weights/npz.h"

#include <torch/types.h>
#include <zip.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <optional>
#include <regex>
#include <set>

#include "input_file.h"

namespace vmae::weights {
namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 34;  // of all arrays
constexpr uint64_t kMostPerByte = 1032;             // that a byte of deflated data can be: a small file holds little
constexpr size_t kMostHeader = 1024;                // of an array of numbers
constexpr const char* kResaveArrays = "save it anew in Python: numpy.savez(new, **{k: v.astype('float32') for ...})";

struct NpyType {
  std::string_view description;
  at::ScalarType type;
};
constexpr std::array<NpyType, 9> kNpyTypes{{{"<f4", at::kFloat},
                                            {"<f2", at::kHalf},
                                            {"<f8", at::kDouble},
                                            {"<i8", at::kLong},
                                            {"<i4", at::kInt},
                                            {"<i2", at::kShort},
                                            {"|i1", at::kChar},
                                            {"|u1", at::kByte},
                                            {"|b1", at::kBool}}};

struct CloseZip {
  void operator()(zip_t* zip) const { zip_discard(zip); }
  void operator()(zip_file_t* entry) const { zip_fclose(entry); }
};

// One entry, read from its beginning on.
class ZipEntry {
 public:
  ZipEntry(zip_t* zip, zip_uint64_t index, std::filesystem::path path) : path_(std::move(path)) {
    zip_stat_t status;
    zip_stat_init(&status);
    constexpr zip_uint64_t kNeeded = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_METHOD;
    if (zip_stat_index(zip, index, 0, &status) != 0 || (status.valid & kNeeded) != kNeeded)
      fail(path_, concat("entry ", index, " of the zip is damaged"));
    name_ = status.name;
    size_ = status.size;
    if (status.comp_method != ZIP_CM_STORE && status.comp_method != ZIP_CM_DEFLATE)
      refuse("is compressed by another method than NumPy's");
    entry_.reset(zip_fopen_index(zip, index, 0));
    if (!entry_) refuse(zip_strerror(zip));
  }
  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }
  [[noreturn]] void refuse(const std::string& what, const std::string& hint = "") const {
    fail(path_, concat(name_, ": ", what), hint);
  }
  void read(void* to, uint64_t size) {
    auto* bytes = static_cast<char*>(to);
    while (size > 0) {
      const zip_int64_t got = zip_fread(entry_.get(), bytes, size);
      if (got <= 0) refuse("ends early, or is damaged");
      bytes += got;
      size -= static_cast<uint64_t>(got);
    }
  }
  void expect_end() {  // the checksum is compared there
    char more = 0;
    const zip_int64_t got = zip_fread(entry_.get(), &more, 1);
    if (got > 0) refuse("has more bytes than its header says");
    if (got < 0) refuse("is damaged: its checksum is another");
  }
  std::string read(uint64_t size) {
    std::string bytes(size, '\0');
    read(bytes.data(), size);
    return bytes;
  }

 private:
  std::filesystem::path path_;
  std::string name_;
  uint64_t size_ = 0;
  std::unique_ptr<zip_file_t, CloseZip> entry_;
};

uint64_t little_endian(const std::string& bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

at::ScalarType type_of(const std::string& description, const ZipEntry& entry) {
  if (description.find('O') != std::string::npos)
    entry.refuse("an array of Python objects, which only executing it could read", kResaveArrays);
  for (const NpyType& one : kNpyTypes) {
    if (one.description == description) return one.type;
  }
  entry.refuse(concat("numbers of type ", description, " are not read"), kResaveArrays);
}

struct NpyArray {
  at::Tensor numbers;                // not read yet, in the file's order
  bool is_column_by_column = false;  // then with its dimensions the other way round
  bool is_boolean = false;           // then as bytes, which a damaged file may have others of than 0 and 1
};

// Of the header's type and shape.
NpyArray array_of(const std::string& header, const ZipEntry& entry) {
  static const std::regex dict(
      R"(\{'descr': '([^']{1,8})', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\), ?\}\s*)");
  std::smatch match;
  if (!std::regex_match(header, match, dict))
    entry.refuse("its header is not that of an array of numbers", kResaveArrays);
  const at::ScalarType type = type_of(match[1], entry);
  std::vector<int64_t> shape;
  uint64_t bytes = c10::elementSize(type);
  static const std::regex number("[0-9]+");
  const std::string sizes = match[3];
  for (std::sregex_iterator it(sizes.begin(), sizes.end(), number), end; it != end; ++it) {
    const std::optional<int64_t> size = parse_integer(it->str());
    if (!size || (*size > 0 && bytes > kMostBytes / static_cast<uint64_t>(*size))) entry.refuse("is too large");
    shape.push_back(*size);
    bytes *= static_cast<uint64_t>(*size);
  }
  const bool is_column_by_column = match[2] == "True";
  if (is_column_by_column) std::reverse(shape.begin(), shape.end());
  if (bytes > entry.size()) entry.refuse(concat("says that it has ", bytes, " bytes, but is ", entry.size(), " long"));
  const bool is_boolean = type == at::kBool;
  return {at::empty(shape, is_boolean ? at::kByte : type), is_column_by_column, is_boolean};
}

at::Tensor read_npy(ZipEntry& entry) {
  const std::string magic = entry.read(8);
  if (!magic.starts_with("\x93NUMPY")) entry.refuse("is no .npy array");
  const uint64_t header = little_endian(entry.read(magic[6] == 1 ? 2 : 4));
  if (header > kMostHeader) entry.refuse("its header is too long");
  NpyArray array = array_of(entry.read(header), entry);
  entry.read(array.numbers.mutable_data_ptr(), array.numbers.nbytes());
  entry.expect_end();
  if (array.is_boolean) array.numbers = array.numbers.ne(0);
  if (!array.is_column_by_column) return array.numbers;
  std::vector<int64_t> last_first(static_cast<size_t>(array.numbers.dim()));
  std::iota(last_first.rbegin(), last_first.rend(), 0);
  return array.numbers.permute(last_first).contiguous();
}

}  // namespace

bool is_npz(const std::string& head) {
  constexpr size_t kNameLength = 26, kName = 30;  // in a zip's first header
  if (!head.starts_with("PK\x03\x04") || head.size() < kName) return false;
  return head.substr(kName, little_endian(head.substr(kNameLength, 2))).ends_with(".npy");
}

TensorFile read_npz(const std::filesystem::path& path) {
  return guarded(path, [&] {
    int problem = 0;
    const std::unique_ptr<zip_t, CloseZip> zip(zip_open(path.c_str(), ZIP_RDONLY, &problem));
    if (!zip) {
      zip_error_t error;
      zip_error_init_with_code(&error, problem);
      const std::string text = zip_error_strerror(&error);
      zip_error_fini(&error);
      fail(path, concat("is no zip that can be read: ", text));
    }
    TensorFile file;
    std::set<std::string> names;
    const uint64_t most = std::min(kMostBytes, kMostPerByte * InputFile(path).size());
    uint64_t bytes = 0;
    for (zip_int64_t i = 0; i < zip_get_num_entries(zip.get(), 0); ++i) {
      ZipEntry entry(zip.get(), static_cast<zip_uint64_t>(i), path);
      const std::string name = entry.name().substr(0, entry.name().rfind(".npy"));
      if (!entry.name().ends_with(".npy")) entry.refuse("is no .npy array");
      if (!names.insert(name).second) entry.refuse("is there twice");
      bytes += std::min(entry.size(), kMostBytes);
      if (bytes > most) fail(path, "says that it holds more than it can");
      file.tensors.emplace_back(name, read_npy(entry));
    }
    return file;
  });
}

}  // namespace vmae::weights
