// https://itk.org/Wiki/ITK/MetaIO/Documentation: lines "name =
// value" (a colon will do), the last of which is ElementDataFile.
#include "meta_header.h"

#include <algorithm>
#include <array>

#include "vmae/core/error.h"
#include "vmae/core/text.h"

namespace vmae::io {
namespace {

// bytes; MetaIO's buffers hold 255 (names, and the texts it knows) and 32,768
constexpr size_t kMaxShort = 250, kMaxLong = 4000;
constexpr std::array<std::string_view, 10> kShortTexts{
    "objecttype",    "objectsubtype",   "comment",     "name",    "transformtype", "anatomicalorientation",
    "distanceunits", "acquisitiondate", "elementtype", "modality"};

// Printable ASCII; programs that convert DICOM write names such as 0008|0060.
bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxShort &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

bool is_value(std::string_view value, const std::string& name) {
  const bool is_short = std::find(kShortTexts.begin(), kShortTexts.end(), name) != kShortTexts.end();
  return value.size() <= (is_short ? kMaxShort : kMaxLong) && value.find('\0') == std::string_view::npos;
}

[[noreturn]] void fail_meta_image(const std::filesystem::path& path, const std::string& what) {
  fail_file(path, what, "the file is probably damaged, or no MetaImage");
}

}  // namespace

MetaHeader parse_meta_header(std::string_view text, const std::filesystem::path& path) {
  MetaHeader header;
  for (size_t at = 0, number = 1; at < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = trim(text.substr(at, end - at));
    at = std::min(end + 1, text.size());
    if (line.empty()) continue;
    const size_t mark = line.find_first_of("=:");
    const std::string name = to_lower(trim(line.substr(0, mark)));
    const std::string_view value = mark == std::string_view::npos ? "" : trim(line.substr(mark + 1));
    if (mark == std::string_view::npos || !is_name(name) || !is_value(value, name))
      fail_meta_image(path, concat("line ", number, " of its header is not a name and a value"));
    const auto [field, is_new] = header.fields.emplace(name, value);
    if (!is_new && field->second != value) fail_meta_image(path, concat("its header gives ", name, " two values"));
    if (field->first == "elementdatafile") {
      header.rest = text.substr(at);
      return header;
    }
  }
  fail_meta_image(path, "its header has no ElementDataFile");
}

}  // namespace vmae::io
