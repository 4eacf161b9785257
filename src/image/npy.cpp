#include "vmae/image/npy.h"

#include "vmae/core/atomic_file.h"
#include "vmae/core/text.h"

namespace vmae::io {

void write_npy(const std::filesystem::path& file, const Volume& volume) {
  // by StoredType
  static constexpr const char* kDescriptions[] = {"|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<f4", "<f8"};
  const std::string channels = volume.channels > 1 ? concat(", ", volume.channels) : "";
  std::string header =
      concat("{'descr': '", kDescriptions[static_cast<size_t>(volume.type)], "', 'fortran_order': False, 'shape': (",
             volume.size[2], ", ", volume.size[1], ", ", volume.size[0], channels, "), }");
  header.append(64 - (10 + header.size() + 1) % 64, ' ');
  header += '\n';
  AtomicFile out(file);
  out.write(std::string_view("\x93NUMPY\x01\x00", 8));
  const char length[2] = {static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  out.write(length, 2);
  out.write(header);
  out.write(volume.stored.data(), volume.stored.size());
  out.commit();
}

}  // namespace vmae::io
