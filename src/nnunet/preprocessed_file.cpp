// header | number of voxels of each list | voxels of the lists | key | to a multiple of 64: channels | labels
#include "vmae/nnunet/preprocessed_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>

#include "vmae/core/atomic_file.h"
#include "vmae/core/crc32c.h"
#include "vmae/core/error.h"

namespace vmae::nnunet {
namespace {

constexpr char kMagic[9] = "vmaennu\n";
constexpr uint32_t kVersion = 1;
constexpr size_t kAlignment = 64;
constexpr const char* kMadeAnew = "delete it: it is made anew";

// Numbers as the machine has them; on one of another order of bytes the version is another.
struct Header {
  char magic[8]{};
  uint32_t version = kVersion;
  uint32_t checksum = 0;  // CRC-32C of all behind it up to the channels
  std::array<int64_t, 3> shape{};
  int64_t num_channels = 0, num_lists = 0, key_size = 0;
  Box box;
  std::array<int64_t, 3> shape_before_crop{}, shape_after_crop{};
  std::array<double, 3> spacing{};
};
constexpr size_t kChecked = offsetof(Header, shape);
static_assert(sizeof(Header) == 184 && kChecked == 16);  // no gaps

size_t aligned(size_t offset) { return (offset + kAlignment - 1) / kAlignment * kAlignment; }

template <class T>
std::string_view bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

Header header_of(const PreprocessedCase& made, const Locations& locations, const std::string& key) {
  Header header;
  std::memcpy(header.magic, kMagic, sizeof header.magic);
  header.shape = made.shape;
  header.num_channels = static_cast<int64_t>(made.channels.size());
  header.num_lists = static_cast<int64_t>(locations.size());
  header.key_size = static_cast<int64_t>(key.size());
  header.box = made.box;
  header.shape_before_crop = made.shape_before_crop;
  header.shape_after_crop = made.shape_after_crop;
  header.spacing = made.spacing;
  return header;
}

struct Mapped {
  std::shared_ptr<const std::byte> bytes;
  size_t size = 0;
};

Mapped map_file(const std::filesystem::path& file) {
  const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  int error_number = descriptor < 0 ? errno : 0;
  struct stat status {};
  if (error_number == 0 && fstat(descriptor, &status) != 0) error_number = errno;
  const auto size = static_cast<size_t>(status.st_size);
  Mapped mapped;
  if (error_number == 0 && size > 0) {
    void* bytes = mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
    if (bytes == MAP_FAILED)
      error_number = errno;
    else
      mapped = {{static_cast<const std::byte*>(bytes), [bytes, size](const std::byte*) { munmap(bytes, size); }}, size};
  }
  if (descriptor >= 0) close(descriptor);
  if (error_number != 0) fail_file(file, concat("can't be read: ", std::generic_category().message(error_number)));
  return mapped;
}

// Goes through a mapped file from its begin.
class Walk {
 public:
  Walk(const std::filesystem::path& file, const Mapped& mapped) : file_(file), mapped_(mapped) {}

  template <class T>
  const T* take(int64_t count) {
    if (count < 0 || static_cast<size_t>(count) > (mapped_.size - offset_) / sizeof(T))
      damaged("it is shorter than it says");
    const std::byte* at = mapped_.bytes.get() + offset_;
    offset_ += static_cast<size_t>(count) * sizeof(T);
    return reinterpret_cast<const T*>(at);
  }
  size_t offset() const { return offset_; }
  size_t left() const { return mapped_.size - offset_; }
  const std::byte* begin() const { return mapped_.bytes.get(); }
  [[noreturn]] void damaged(const std::string& what) const {
    fail_file(file_, concat("is damaged: ", what), kMadeAnew);
  }

 private:
  const std::filesystem::path& file_;
  const Mapped& mapped_;
  size_t offset_ = 0;
};

Header take_header(const std::filesystem::path& file, Walk& walk) {
  Header header;
  if (walk.left() < sizeof header || std::memcmp(walk.begin(), kMagic, sizeof header.magic) != 0)
    fail_file(file, "is no preprocessed case of vmae, or damaged at its begin", kMadeAnew);
  std::memcpy(&header, walk.take<std::byte>(sizeof header), sizeof header);
  if (header.version != kVersion)
    fail_file(file, concat("is of version ", header.version, "; this vmae reads version ", kVersion), kMadeAnew);
  return header;
}

// Whether so many voxels, with all their channels, may be in a file with so many bytes left.
bool can_hold(size_t left, const Header& header) {
  if (header.num_channels < 1) return false;
  size_t most = left / sizeof(int16_t) / static_cast<size_t>(header.num_channels);
  for (const int64_t size : header.shape) {
    if (size < 1) return false;
    most /= static_cast<size_t>(size);
  }
  return most > 0;
}

}  // namespace

void write_preprocessed(const std::filesystem::path& file, const PreprocessedCase& made, const Locations& locations,
                        const std::string& key) {
  Header header = header_of(made, locations, key);
  std::string front(reinterpret_cast<const char*>(&header), sizeof header);
  for (const std::vector<Voxel>& list : locations) {
    const auto count = static_cast<int64_t>(list.size());
    front.append(reinterpret_cast<const char*>(&count), sizeof count);
  }
  for (const std::vector<Voxel>& list : locations) front += bytes_of(list);
  front += key;
  front.resize(aligned(front.size()));
  header.checksum = crc32c(front.data() + kChecked, front.size() - kChecked);
  std::memcpy(front.data() + offsetof(Header, checksum), &header.checksum, sizeof header.checksum);
  AtomicFile out(file);
  out.write(front);
  for (const std::vector<float>& channel : made.channels) out.write(bytes_of(channel));
  out.write(bytes_of(made.labels));
  out.commit();
}

PreprocessedFile::PreprocessedFile(const std::filesystem::path& file) {
  const Mapped mapped = map_file(file);
  bytes_ = mapped.bytes;
  Walk walk(file, mapped);
  const Header header = take_header(file, walk);
  const int64_t* counts = walk.take<int64_t>(header.num_lists);
  for (int64_t i = 0; i < header.num_lists; ++i)
    locations_.emplace_back(walk.take<Voxel>(counts[i]), static_cast<size_t>(counts[i]));
  key_.assign(walk.take<char>(header.key_size), static_cast<size_t>(header.key_size));
  walk.take<std::byte>(static_cast<int64_t>(aligned(walk.offset()) - walk.offset()));
  if (crc32c(walk.begin() + kChecked, walk.offset() - kChecked) != header.checksum)
    walk.damaged("its checksum is another");
  if (!can_hold(walk.left(), header)) walk.damaged("it can't hold as many voxels as it says");
  const auto num_voxels = header.shape[0] * header.shape[1] * header.shape[2];
  channels_ = walk.take<float>(num_voxels * header.num_channels);
  labels_ = walk.take<int16_t>(num_voxels);
  if (walk.left() > 0) walk.damaged("it is longer than it says");
  num_channels_ = header.num_channels;
  facts_.shape = header.shape;
  facts_.box = header.box;
  facts_.shape_before_crop = header.shape_before_crop;
  facts_.shape_after_crop = header.shape_after_crop;
  facts_.spacing = header.spacing;
}

const float* PreprocessedFile::channel(int64_t number) const {
  return channels_ + number * facts_.shape[0] * facts_.shape[1] * facts_.shape[2];
}

}  // namespace vmae::nnunet
