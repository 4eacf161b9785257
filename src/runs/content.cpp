#include "vmae/runs/content.h"

#include <fstream>

#include "vmae/cases/channels.h"
#include "vmae/core/crc32c.h"
#include "vmae/core/text.h"
#include "vmae/prepared/prepared.h"

namespace vmae::run {

namespace fs = std::filesystem;

std::string content_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::vector<char> buffer(size_t{1} << 20);
  uint32_t crc = 0;
  uint64_t bytes = 0;
  while (stream.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), stream.gcount() > 0) {
    crc = crc32c(buffer.data(), static_cast<size_t>(stream.gcount()), crc);
    bytes += static_cast<uint64_t>(stream.gcount());
  }
  return concat(fs::absolute(file).lexically_normal().string(), " (", bytes, " bytes, crc32c ", crc, ")");
}

std::string content_of(const std::vector<io::SourceFile>& cases, const std::vector<std::string>& names) {
  uint32_t crc = 0;
  const auto add = [&](const std::string& text) { crc = crc32c(text.c_str(), text.size() + 1, crc); };
  for (const std::string& name : names) add(name);
  for (const io::SourceFile& file : io::single_channels(cases)) {
    add(fs::absolute(file.path).lexically_normal().string());
    add(concat(file.time_point, ' ', file.prepared_case, ' ', file.modality));
    if (file.prepared_case >= 0) continue;
    for (const fs::path& path : file.series.empty() ? std::vector<fs::path>{file.path} : file.series) {
      std::error_code problem;
      add(path.filename().string());
      add(concat(fs::file_size(path, problem), ' ', fs::last_write_time(path, problem).time_since_epoch().count()));
    }
  }
  const bool is_prepared = !cases.empty() && cases.front().prepared_case >= 0;
  return concat(cases.size(), " cases (crc32c of names, sizes and times of change ", crc, ")",
                is_prepared ? concat(" of the dataset ", io::PreparedDataset(cases.front().path).info().digest) : "");
}

}  // namespace vmae::run
