#pragma once
// Text from outside is UTF-8, or is refused where it comes in.
#include <string>
#include <string_view>

#include "vmae/core/error.h"

namespace vmae {

// Throws Error(code) "NAME:LINE: is not UTF-8 text ...", for the
// first byte that belongs to no character. `name`: the file's.
void require_utf8(std::string_view text, const std::string& name, const std::string& hint,
                  ExitCode code = ExitCode::data);

// `bytes` with %FC for each byte that belongs to no character:
// names of files, which may be anything. UTF-8 stays as it is.
std::string escaped_utf8(std::string_view bytes);

}  // namespace vmae
