// NRRD (http://teem.sourceforge.net/nrrd/format.html): "data file: NAME", NAME relative to the header's folder.
// MetaImage: "ElementDataFile = NAME", NAME relative to the header's folder, or to the working folder if it has
// folders in it. In both NAME may be LIST, followed by a name on every line, or hold %d for a numbered series.
#include "vmae/volume/volume_data.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "meta_header.h"
#include "vmae/core/error.h"
#include "vmae/core/text.h"
#include "vmae/image/file_name.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxHeaderBytes = 1 << 20;
constexpr uint64_t kMostOfZlib = 1040;             // deflate makes at most 1032 bytes of one
constexpr uint64_t kMaxUnknownBytes = 1ULL << 36;  // of one of a numbered series
constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

std::string first_bytes(const fs::path& path) {
  std::string text(kMaxHeaderBytes, '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  return text;
}

// A name, or the names on the lines of `rest` if it is LIST.
void add_names(std::string_view name, std::string_view rest, std::vector<std::string>& names) {
  if (!name.starts_with("LIST")) {
    names.emplace_back(name);
    return;
  }
  for (size_t at = 0; at < rest.size();) {
    const size_t end = std::min(rest.find('\n', at), rest.size());
    if (const std::string_view line = trim(rest.substr(at, end - at)); !line.empty()) names.emplace_back(line);
    at = end + 1;
  }
}

// What follows the key, wherever it stands: the library differs from the format's description in what it takes
// for a line. The header of a file that holds its voxels itself is followed by bytes that will not spell the key.
std::vector<std::string> nrrd_names(std::string_view text) {
  const std::string lower = to_lower(text);
  std::vector<std::string> names;
  for (const std::string_view key : {"data file", "datafile"}) {
    for (size_t at = lower.find(key); at != std::string::npos; at = lower.find(key, at + 1)) {
      const size_t mark = text.find_first_not_of(" \t", at + key.size());
      if (mark == std::string_view::npos || text[mark] != ':') continue;
      const size_t end = std::min(text.find_first_of("\r\n", mark), text.size());
      add_names(trim(text.substr(mark + 1, end - mark - 1)), text.substr(end), names);
    }
  }
  return names;
}

// The libraries pass a name with % to printf as its format, which can
// then read and write anywhere: one number is all that may be in it.
bool is_numbered(const std::string& name, const fs::path& header) {
  const size_t percent = name.find('%');
  if (percent == std::string::npos) return false;
  const size_t letter = std::min(name.find_first_not_of("0123456789", percent + 1), name.size());
  if (letter - percent > 3 || letter == name.size() || name[letter] != 'd' ||
      name.find('%', letter) != std::string::npos) {
    fail_file(header, "the name of the files of its voxels is not understood",
              "one %d is allowed in it, for the number");
  }
  return true;
}

// 0 if there is no such file.
uint64_t regular_size(const fs::path& path, const fs::path& header) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return 0;
  if (!fs::is_regular_file(status)) fail_file(header, "the file of its voxels is not a regular file");
  const uintmax_t size = fs::file_size(path, error);
  return error ? 0 : size;
}

// The bytes of the files; kUnlimited for a numbered series.
uint64_t sum_sizes(const std::vector<std::string>& names, const fs::path& header) {
  uint64_t bytes = 0;
  bool is_unlimited = false;
  for (const std::string& name : names) {
    is_unlimited |= is_numbered(name, header);
    bytes += std::max(regular_size(header.parent_path() / name, header), regular_size(name, header));
  }
  if (bytes == 0 && !is_unlimited) fail_file(header, "the file of its voxels is missing or empty");
  return is_unlimited ? kUnlimited : bytes;
}

uint64_t meta_bytes(const fs::path& path) {
  const std::string text = first_bytes(path);
  const MetaHeader header = parse_meta_header(text, path);
  std::vector<std::string> names;
  add_names(header.fields.at("elementdatafile"), header.rest, names);
  const bool is_local = names.size() == 1 && to_lower(names[0]) == "local";
  const uint64_t bytes = is_local ? regular_size(path, path) : sum_sizes(names, path);
  // MetaIO reads as many numbers as there are axes, and allocates
  // as many bytes as were compressed, without looking at either.
  const auto check = [&](const char* name, double low, double high) {
    const auto field = header.fields.find(name);
    if (field == header.fields.end()) return;
    const std::string& value = field->second;
    double number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error == std::errc() && end == value.data() + value.size() && number >= low && number <= high) return;
    throw Error(
        ExitCode::data,
        concat(path.string(), ": its header gives '", name, "' a value that is not a number from ", low, " to ", high),
        "the file is probably damaged");
  };
  check("ndims", 1, 9);
  check("compresseddatasize", 0, static_cast<double>(std::min(bytes, kMaxUnknownBytes)));
  check("headersize", -1, static_cast<double>(std::min(bytes, kMaxUnknownBytes)));
  return bytes;
}

// Of "slice%03d.raw" the files with any number in its place; of "slice%03d.raw
// 1 20 1" those from the first to the second, in steps of the third.
std::vector<fs::path> numbered_files(const fs::path& pattern) {
  const std::string name = pattern.filename().string();
  const size_t mark = name.find('%'), number = mark == std::string::npos ? mark : name.find('d', mark);
  if (number == std::string::npos) return {};
  const std::string before = name.substr(0, mark), after = name.substr(number + 1, name.find(' ', number) - number - 1);
  int64_t first = 0, last = std::numeric_limits<int64_t>::max(), step = 1;
  if (const size_t range = name.find(' ', number); range != std::string::npos)
    std::istringstream(name.substr(range)) >> first >> last >> step;
  std::vector<fs::path> files;
  std::error_code ignored;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(pattern.has_parent_path() ? pattern.parent_path() : ".", ignored)) {
    const std::string other = entry.path().filename().string();
    if (other.size() <= before.size() + after.size() || !other.starts_with(before) || !other.ends_with(after)) continue;
    const std::string middle = other.substr(before.size(), other.size() - before.size() - after.size());
    const auto value =
        middle.find_first_not_of("0123456789") == std::string::npos ? parse_integer(middle) : std::nullopt;
    if (value && *value >= std::min(first, last) && *value <= std::max(first, last) &&
        (*value - first) % std::max<int64_t>(std::abs(step), 1) == 0)
      files.push_back(entry.path());
  }
  return files;
}

}  // namespace

uint64_t most_voxel_bytes(uint64_t file_bytes) {
  return file_bytes > kUnlimited / kMostOfZlib ? kUnlimited : file_bytes * kMostOfZlib;
}

uint64_t most_voxel_bytes(const fs::path& path, bool is_nrrd) {
  if (!is_nrrd) return most_voxel_bytes(meta_bytes(path));
  const std::vector<std::string> names = nrrd_names(first_bytes(path));
  return most_voxel_bytes(names.empty() ? regular_size(path, path) : sum_sizes(names, path));
}

std::vector<fs::path> voxel_files(const fs::path& header) {
  std::vector<std::string> names;
  const std::string ending = ending_of(header);
  if (!ending.ends_with(".nhdr") && ending != ".mhd") return {};
  const std::string text = first_bytes(header);
  if (ending.ends_with(".nhdr")) {
    names = nrrd_names(text);
  } else {
    try {
      const MetaHeader meta = parse_meta_header(text, header);
      add_names(meta.fields.at("elementdatafile"), meta.rest, names);
    } catch (const Error&) {  // reading the volume says what is wrong with its header
      return {};
    }
  }
  std::vector<fs::path> files;
  for (const std::string& name : names) {
    std::error_code ignored;
    const fs::path file = header.parent_path() / name;
    if (fs::is_regular_file(file, ignored)) files.push_back(fs::weakly_canonical(file, ignored));
    for (const fs::path& one : numbered_files(file)) files.push_back(fs::weakly_canonical(one, ignored));
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string voxel_offset(const fs::path& header) {
  if (ending_of(header).ends_with(".nhdr")) {
    std::string text;
    for (const char* key : {"byte skip", "byteskip", "line skip", "lineskip"}) text += nrrd_field(header, key) + ' ';
    return text;
  }
  try {
    const MetaHeader meta = parse_meta_header(first_bytes(header), header);
    const auto size = meta.fields.find("headersize");
    return size == meta.fields.end() ? "" : size->second;
  } catch (const Error&) {  // reading the volume says what is wrong with its header
    return "";
  }
}

namespace {

// Where the voxels of a file begin and in which file they are.
struct Place {
  fs::path file;
  uint64_t offset = 0;
};

std::optional<Place> one_file(const std::vector<std::string>& names, const fs::path& header,
                              const std::string& skipped) {
  if (names.size() != 1 || names[0].find('%') != std::string::npos) return std::nullopt;
  const auto offset = parse_integer(skipped.empty() ? "0" : skipped);
  if (!offset || *offset < 0) return std::nullopt;  // -1: the voxels are the last bytes
  const fs::path beside = header.parent_path() / names[0];
  std::error_code ignored;
  return Place{fs::exists(beside, ignored) ? beside : fs::path(names[0]), static_cast<uint64_t>(*offset)};
}

std::optional<Place> nrrd_place(const fs::path& path) {
  const std::string encoding = nrrd_field(path, "encoding");
  std::string skip = nrrd_field(path, "byte skip");
  if (skip.empty()) skip = nrrd_field(path, "byteskip");
  if (encoding != "raw" || !nrrd_field(path, "line skip").empty() || !nrrd_field(path, "lineskip").empty())
    return std::nullopt;
  const std::string text = first_bytes(path);
  if (std::vector<std::string> names = nrrd_names(text); !names.empty()) return one_file(names, path, skip);
  const size_t blank = std::min(text.find("\n\n"), text.find("\n\r\n"));
  if (blank == std::string::npos) return std::nullopt;
  auto place = one_file({path.filename().string()}, path, skip);
  if (place) place->offset += blank + (text[blank + 1] == '\r' ? 3 : 2);
  return place;
}

std::optional<Place> meta_place(const fs::path& path) {
  const std::string text = first_bytes(path);
  const MetaHeader header = parse_meta_header(text, path);
  const auto value = [&](const char* name) {
    const auto field = header.fields.find(name);
    return field == header.fields.end() ? "" : to_lower(field->second);
  };
  const auto is_true = [&](const char* name) { return value(name).starts_with('t') || value(name) == "1"; };
  if (is_true("compresseddata") || !is_true("binarydata")) return std::nullopt;
  if (value("elementdatafile") == "local")
    return value("headersize").empty() ? std::optional(Place{path, text.size() - header.rest.size()}) : std::nullopt;
  std::vector<std::string> names;
  add_names(header.fields.at("elementdatafile"), header.rest, names);
  return one_file(names, path, value("headersize"));
}

}  // namespace

bool has_more_than(uint64_t voxel_bytes, const fs::path& path, bool is_nrrd) {
  const std::optional<Place> place = is_nrrd ? nrrd_place(path) : meta_place(path);
  return place && regular_size(place->file, path) > place->offset + voxel_bytes;
}

std::string nrrd_field(const fs::path& path, const std::string& key) {
  std::istringstream lines(first_bytes(path));
  for (std::string line; std::getline(lines, line) && !trim(line).empty();) {
    const std::string lower = to_lower(trim(line));
    if (lower.starts_with(key + ":")) return std::string(trim(std::string_view(lower).substr(key.size() + 1)));
  }
  return "";
}

std::string meta_field(const fs::path& path, const std::string& key) {
  const std::string text = first_bytes(path);
  const MetaHeader header = parse_meta_header(text, path);
  const auto field = header.fields.find(key);
  return field == header.fields.end() ? "" : field->second;
}

}  // namespace vmae::io
