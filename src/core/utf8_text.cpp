#include "vmae/core/utf8_text.h"

#include <algorithm>

namespace vmae {
namespace {

// Bytes of a character that begins with this one.
size_t length_from(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xe0) return 2;
  return lead < 0xf0 ? 3 : 4;
}

// Bytes of the character at `at`; 0: there is none.
size_t character_length(std::string_view text, size_t at) {
  const size_t length = length_from(static_cast<unsigned char>(text[at]));
  const std::string_view bytes = text.substr(at, length);
  return bytes.size() == length && is_utf8(bytes) ? length : 0;
}

std::string hex_byte(char c) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  return {kDigits[byte >> 4], kDigits[byte & 0xf]};
}

}  // namespace

void require_utf8(std::string_view text, const std::string& name, const std::string& hint, ExitCode code) {
  if (is_utf8(text)) return;
  size_t at = 0;
  for (size_t length = character_length(text, at); length > 0; length = character_length(text, at)) at += length;
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  throw Error(
      code, concat(name, ":", line, ": is not UTF-8 text: the byte 0x", hex_byte(text[at]), " belongs to no character"),
      hint);
}

std::string escaped_utf8(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  std::string out;
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = character_length(bytes, at);
    if (length == 0) {
      out += "%" + hex_byte(bytes[at++]);
      continue;
    }
    out += bytes.substr(at, length);
    at += length;
  }
  return out;
}

}  // namespace vmae
