// Walks over the elements (PS3.5, 7.1 and 7.5): tag, VR and length, or, where the VR
// is implicit, tag and length. A value is entered if its length is undefined or if it
// begins with an item, else stepped over. What was entered is kept as a stack of ends.
#include "walk.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <string_view>
#include <vector>

#include "vmae/core/text.h"

namespace vmae::io {
namespace {

constexpr size_t kMaxOpen = 128;        // sequences and items
constexpr uint64_t kMostOfZlib = 1040;  // deflate makes at most 1032 bytes of one
constexpr uint32_t kUndefined = 0xFFFFFFFF;
constexpr uint64_t kNoEnd = std::numeric_limits<uint64_t>::max();

// The bytes of a data set, forwards only; deflated ones are inflated on the way.
class Bytes {
 public:
  explicit Bytes(const std::filesystem::path& path) : file_(path, std::ios::binary) {}
  ~Bytes() {
    if (is_deflated_) inflateEnd(&stream_);
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  // `size` bytes at `at`, which must not go backwards; null beyond the end.
  const unsigned char* get(uint64_t at, size_t size) {
    while (at + size > begin_ + filled_) {
      const uint64_t from = std::min(at, begin_ + filled_);
      const size_t kept = static_cast<size_t>(begin_ + filled_ - from);
      std::memmove(window_.data(), window_.data() + (filled_ - kept), kept);
      if (!is_deflated_ && kept == 0 && at > from) {
        file_.seekg(static_cast<std::streamoff>(at));
        begin_ = at;
      } else {
        begin_ = from;
      }
      filled_ = kept;
      const size_t got = is_deflated_ ? inflate_some(kept) : read_some(window_.data() + kept, window_.size() - kept);
      if (got == 0) return nullptr;
      filled_ += got;
    }
    return window_.data() + (at - begin_);
  }

  // From `at` on the file is deflated; offsets go on as if it were not.
  void start_deflated(uint64_t at) {
    file_.clear();
    file_.seekg(static_cast<std::streamoff>(at));
    is_deflated_ = inflateInit2(&stream_, -MAX_WBITS) == Z_OK;
    begin_ = at;
    filled_ = 0;
  }

 private:
  size_t read_some(unsigned char* to, size_t size) {
    file_.read(reinterpret_cast<char*>(to), static_cast<std::streamsize>(size));
    return static_cast<size_t>(std::max<std::streamsize>(file_.gcount(), 0));
  }

  size_t inflate_some(size_t kept) {
    stream_.next_out = window_.data() + kept;
    stream_.avail_out = static_cast<unsigned>(window_.size() - kept);
    const unsigned wanted = stream_.avail_out;
    while (stream_.avail_out == wanted) {
      if (stream_.avail_in == 0) {
        stream_.avail_in = static_cast<unsigned>(read_some(packed_.data(), packed_.size()));
        stream_.next_in = packed_.data();
        if (stream_.avail_in == 0) break;
      }
      if (inflate(&stream_, Z_NO_FLUSH) != Z_OK) break;
    }
    return wanted - stream_.avail_out;
  }

  std::ifstream file_;
  std::array<unsigned char, 1 << 15> window_{}, packed_{};
  uint64_t begin_ = 0;
  size_t filled_ = 0;
  bool is_deflated_ = false;
  z_stream stream_{};
};

struct Syntax {
  bool is_explicit = true, is_big = false;
};

struct Open {
  uint64_t end;
  Syntax syntax;
  bool holds_fragments = false;  // of compressed pixels
};

uint32_t number(const unsigned char* bytes, size_t size, bool is_big) {
  uint32_t value = 0;
  for (size_t i = 0; i < size; ++i) value = value << 8 | bytes[is_big ? i : size - 1 - i];
  return value;
}

// VRs that are not known have a long length too, as DCMTK and later
// editions of the standard have it, if they look like one at all.
bool has_long_length(std::string_view vr) {
  constexpr std::array<std::string_view, 21> kShort{"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO",
                                                    "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"};
  const bool is_vr = std::all_of(vr.begin(), vr.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  return is_vr && std::find(kShort.begin(), kShort.end(), vr) == kShort.end();
}

class Walker {
 public:
  explicit Walker(const std::filesystem::path& path) : bytes_(path) {
    std::error_code ignored;
    limit_ = std::filesystem::file_size(path, ignored) * kMostOfZlib;
    start();
  }

  std::string problem() {
    while (open_.size() <= kMaxOpen) {
      if (!step()) return claims_too_much_ ? "a value of its header claims far more bytes than the file can hold" : "";
    }
    return "its sequences nest more deeply than those of any real file";
  }

 private:
  void start() {
    const unsigned char* begin = bytes_.get(0, 132);
    if (begin != nullptr && std::memcmp(begin + 128, "DICM", 4) == 0) {
      at_ = 132;
      is_meta_ = true;
      return;
    }
    begin = bytes_.get(0, 8);
    if (begin == nullptr) return;
    top_.is_big = begin[0] == 0;
    top_.is_explicit = begin[4] >= 'A' && begin[4] <= 'Z' && begin[5] >= 'A' && begin[5] <= 'Z';
    is_meta_ = number(begin, 2, top_.is_big) == 2;
  }

  void read_transfer_syntax(uint32_t length) {
    const unsigned char* uid = length <= 64 ? bytes_.get(at_, length) : nullptr;
    if (uid != nullptr) transfer_syntax_ = std::string(trim(std::string(uid, uid + length).c_str()));
  }

  void leave_meta() {
    is_meta_ = false;
    const bool is_implicit = transfer_syntax_ == "1.2.840.10008.1.2" || transfer_syntax_ == "1.2.840.113619.5.2";
    top_ = {!is_implicit, transfer_syntax_ == "1.2.840.10008.1.2.2"};
    is_deflated_ = transfer_syntax_ == "1.2.840.10008.1.2.1.99";
    if (is_deflated_) bytes_.start_deflated(at_);
  }

  // Of an item: enters or closes. Fragments of compressed pixels are stepped over.
  void take_item(uint32_t element, uint32_t length) {
    at_ += 8;
    if (element == 0xE000 && !open_.empty() && open_.back().holds_fragments) {
      at_ += length;
    } else if (element == 0xE000) {
      open_.push_back({length == kUndefined ? kNoEnd : at_ + length, open_.empty() ? top_ : open_.back().syntax});
    } else {
      while (!open_.empty()) {
        const bool had_no_end = open_.back().end == kNoEnd;
        open_.pop_back();
        if (had_no_end) break;
      }
    }
  }

  bool begins_with_item(bool is_big) {
    const unsigned char* tag = bytes_.get(at_, 4);
    return tag != nullptr && number(tag, 2, is_big) == 0xFFFE && number(tag + 2, 2, is_big) == 0xE000;
  }

  // One element. False at the end of what can be followed.
  bool step() {
    while (!open_.empty() && at_ >= open_.back().end) open_.pop_back();
    const unsigned char* head = bytes_.get(at_, 8);
    if (head == nullptr) return false;
    if (is_meta_ && open_.empty() && number(head, 2, top_.is_big) != 2) {
      leave_meta();
      return true;
    }
    const Syntax syntax = open_.empty() ? top_ : open_.back().syntax;
    const uint32_t group = number(head, 2, syntax.is_big), element = number(head + 2, 2, syntax.is_big);
    if (group == 0xFFFE) {
      take_item(element, number(head + 4, 4, syntax.is_big));
      return true;
    }
    const std::string vr = syntax.is_explicit ? std::string(reinterpret_cast<const char*>(head + 4), 2) : "";
    uint32_t length = 0;
    if (!syntax.is_explicit) {
      length = number(head + 4, 4, syntax.is_big);
      at_ += 8;
    } else if (!has_long_length(vr)) {
      length = number(head + 6, 2, syntax.is_big);
      at_ += 8;
    } else {
      head = bytes_.get(at_, 12);
      if (head == nullptr) return false;
      length = number(head + 8, 4, syntax.is_big);
      at_ += 12;
    }
    const bool is_pixels = open_.empty() && group >= 0x7FE0;
    claims_too_much_ = length != kUndefined && length > limit_ && (is_deflated_ || !is_pixels);
    if (claims_too_much_ || is_pixels) return false;  // the pixels, and what little may follow
    if (is_meta_ && open_.empty() && element == 0x0010) read_transfer_syntax(length);
    if (length == kUndefined || begins_with_item(syntax.is_big)) {
      const Syntax inner = vr == "UN" ? Syntax{false, false} : syntax;
      open_.push_back({length == kUndefined ? kNoEnd : at_ + length, inner, group == 0x7FE0});
    } else {
      at_ += length;
    }
    return true;
  }

  Bytes bytes_;
  std::string transfer_syntax_;
  uint64_t at_ = 0;
  bool is_meta_ = false, is_deflated_ = false, claims_too_much_ = false;
  uint64_t limit_ = 0;  // of one value
  Syntax top_;
  std::vector<Open> open_;
};

}  // namespace

std::string header_problem(const std::filesystem::path& path) { return Walker(path).problem(); }

}  // namespace vmae::io
