// A prepared dataset: its index (begins with '{'), the record of a case ('[' before it) or of
// an item. LMDB, which finds the records, is not fuzzed: it trusts its files, and says so.
#include "codec.h"
#include "index.h"
#include "record.h"
#include "scratch_file.h"
#include "vmae/core/error.h"

namespace {

using namespace vmae::io;

void read_index_text(const std::string& text) {
  const PreparedInfo info = parse_index(text, "index.json");
  const PreparedInfo again = parse_index(index_json(info), "printed.json");
  if (again.num_items != info.num_items || again.shards.size() != info.shards.size()) std::abort();
}

// As PreparedDataset::decode() and decode_mask(), but for the checksum.
void read_item(std::string_view record) {
  const PreparedItem item = parse_item(record);
  if (item.pixel_bytes() > (1 << 24)) return;  // allowed, but slow
  std::vector<std::byte> pixels(item.pixel_bytes()), mask(item.mask_bytes());
  try {
    decompress(item.pixels, static_cast<Filter>(item.filter),
               {static_cast<size_t>(item.height), static_cast<size_t>(item.width * item.channels), size_of(item.type)},
               pixels.data());
  } catch (const vmae::Error&) {
  }
  if (!item.mask.empty())
    decompress(item.mask, Filter::none, {static_cast<size_t>(item.height), static_cast<size_t>(item.width), 1},
               mask.data());
  check_item(record);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = vmae::test::text_of(data, size);
  try {
    if (bytes.starts_with("{")) {
      read_index_text(std::string(bytes));
    } else if (bytes.starts_with("[")) {
      parse_case(bytes.substr(1));
    } else {
      read_item(bytes);
    }
  } catch (const vmae::Error&) {
  }
  return 0;
}
