#pragma once
// The text at the begin of a MetaImage file, checked line by line before MetaIO sees it:
// its parser copies names and values of any length into fixed buffers, counts and allocates
// by numbers that it does not look at, and takes a broken line for the begin of the next.
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace vmae::io {

struct MetaHeader {
  std::map<std::string, std::string> fields;  // by name in lower case; up to and with elementdatafile
  std::string_view rest;                      // of the text
};

// `text`: the first bytes of the file `path`. Throws Error(data) for what is
// not "name = value" lines up to ElementDataFile, and for values that can't be.
MetaHeader parse_meta_header(std::string_view text, const std::filesystem::path& path);

}  // namespace vmae::io
