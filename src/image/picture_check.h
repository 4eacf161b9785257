#pragma once
// Finds damage that the picture libraries repair silently (grey where a JPEG
// is cut off) or report on standard error only, before they see the bytes.
#include <string>
#include <string_view>

namespace vmae::io {

// "" if the bytes are a whole PNG, JPEG, TIFF or BMP as far as its structure tells;
// else what is wrong ("is cut off ..."). Of a PNG only the chunks that carry pixels
// and orientation are kept: libpng comments on the others on standard error.
std::string check_picture(std::string& bytes);

}  // namespace vmae::io
