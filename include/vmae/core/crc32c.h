#pragma once
// CRC-32C (Castagnoli, as in RFC 3720), by the SSE4.2 instruction where
// there is one. Used by checkpoints and by TensorBoard's record format.
#include <cstddef>
#include <cstdint>

namespace vmae {

// crc32c(b, crc32c(a)) == crc32c(a followed by b)
uint32_t crc32c(const void* bytes, size_t size, uint32_t previous = 0);
uint32_t crc32c_portable(const void* bytes, size_t size, uint32_t previous = 0);  // the same without the instruction

}  // namespace vmae
