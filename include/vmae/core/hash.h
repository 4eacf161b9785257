#pragma once
// SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104) by OpenSSL's libcrypto.
#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace vmae {

using Sha256Digest = std::array<unsigned char, 32>;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  void add(const void* bytes, size_t size);
  void add(std::string_view text) { add(text.data(), text.size()); }
  Sha256Digest finish();  // once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Sha256Digest sha256(std::string_view bytes);
Sha256Digest hmac_sha256(std::string_view key, std::string_view message);
std::string hex(const Sha256Digest& digest, size_t num_bytes = 32);  // the first bytes, lower case
std::string random_bytes(size_t count);                              // from the system, for secrets

}  // namespace vmae
