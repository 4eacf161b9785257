#pragma once
// A zip that is read: the archive of .pth and of .npz.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

struct zip;  // libzip's
struct zip_file;

namespace vmae::weights {

// One entry, read from its beginning on; its errors name file and entry.
class ZipEntry {
 public:
  ZipEntry(zip* archive, uint64_t index, std::filesystem::path path);
  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }  // as the zip's directory says
  [[noreturn]] void refuse(const std::string& what, const std::string& hint = "") const;
  void read(void* to, uint64_t size);
  std::string read(uint64_t size);
  // Compares the checksum, too, where the zip has one: torch.save can be told to write none.
  void expect_end();

 private:
  struct Close {
    void operator()(zip_file* entry) const;
  };
  std::filesystem::path path_;
  std::string name_;
  uint64_t size_ = 0;
  bool has_checksum_ = false;
  std::unique_ptr<zip_file, Close> entry_;
};

class ZipFile {
 public:
  explicit ZipFile(const std::filesystem::path& path);
  uint64_t count() const;
  ZipEntry entry(uint64_t index) const { return {zip_.get(), index, path_}; }
  std::string name(uint64_t index) const;
  std::optional<uint64_t> find(const std::string& name) const;

 private:
  struct Close {
    void operator()(zip* archive) const;
  };
  std::filesystem::path path_;
  std::unique_ptr<zip, Close> zip_;
};

}  // namespace vmae::weights
