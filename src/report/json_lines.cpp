#include "vmae/report/json_lines.h"

#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"

namespace vmae {

namespace {

const std::filesystem::path& without_torn_line(const std::filesystem::path& path) {
  truncate_after(path, [](const std::string&) { return true; });
  return path;
}

}  // namespace

JsonLines::JsonLines(const std::filesystem::path& path, bool append)
    : file_(append ? without_torn_line(path) : path, append ? AppendFile::Open::append : AppendFile::Open::truncate) {}

void JsonLines::write(const std::string& one_json_line) {
  if (one_json_line.find('\n') != std::string::npos)
    throw Error(ExitCode::internal, "a JSON line with a newline: " + one_json_line);
  file_.append(one_json_line + "\n");
}

void truncate_after(const std::filesystem::path& path, const std::function<bool(const std::string& line)>& keep) {
  if (!std::filesystem::exists(path)) return;
  const std::string content = read_file(path);
  std::string kept;
  size_t begin = 0;
  for (size_t end = content.find('\n'); end != std::string::npos; end = content.find('\n', begin)) {
    const std::string line = content.substr(begin, end - begin);
    begin = end + 1;
    if (keep(line)) kept += line + "\n";
  }
  if (kept != content) write_file_atomically(path, kept);
}

}  // namespace vmae
