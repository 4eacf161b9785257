// Placeholder of the reader of prepared datasets: knows none.
#include "vmae/io/prepared.h"

#include "vmae/core/error.h"

namespace vmae::io {

struct PreparedDataset::State {
  PreparedInfo info;
};

PreparedDataset::PreparedDataset(const std::filesystem::path& dir) { throw Error(ExitCode::data, concat(dir.string(), " is not a prepared dataset")); }
PreparedDataset::~PreparedDataset() = default;
PreparedDataset::PreparedDataset(PreparedDataset&&) noexcept = default;
const PreparedInfo& PreparedDataset::info() const { return state_->info; }
PreparedItem PreparedDataset::item(int64_t) const { return {}; }
void PreparedDataset::decode(const PreparedItem&, std::byte*) const {}
void PreparedDataset::decode_mask(const PreparedItem&, uint8_t*) const {}
PreparedCase PreparedDataset::read_case(int64_t) const { return {}; }
bool is_prepared(const std::filesystem::path&) { return false; }

}  // namespace vmae::io
