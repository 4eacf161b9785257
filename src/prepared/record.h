#pragma once
// The bytes of a prepared dataset's records. An item: ItemHeader, compressed pixels,
// compressed mask. A case: JSON. Little endian, as every machine this runs on.
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

#include "vmae/prepared/prepared.h"

namespace vmae::io {

static_assert(std::endian::native == std::endian::little);

constexpr uint32_t kItemMagic = 0x31494D56;  // "VMI1"

struct ItemHeader {
  uint32_t magic = kItemMagic;
  uint32_t crc = 0;  // CRC-32C of all bytes of the record after this field
  uint8_t type = 0, filter = 0;
  uint16_t channels = 0;
  uint32_t height = 0, width = 0;
  uint32_t case_number = 0, slice = 0;  // case_number: over the whole dataset
  uint32_t pixel_size = 0, mask_size = 0;
  uint32_t reserved = 0;
  double slope = 1, intercept = 0, stored_max = 0;
  IntensityStats stats;
};
static_assert(sizeof(ItemHeader) == 88);

// Checks sizes and ranges, not the checksum. Throws Error(data).
PreparedItem parse_item(std::string_view record);
void check_item(std::string_view record);  // the checksum; throws Error(data)

std::string case_record(const PreparedCase& a_case);
PreparedCase parse_case(std::string_view record);  // throws Error(data)

}  // namespace vmae::io
