// index.json says which shard holds which items; a shard is one LMDB file (lmdb_file.h) whose keys count from 0.
#include "vmae/prepared/prepared.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "codec.h"
#include "index.h"
#include "lmdb_file.h"
#include "record.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/config.h"
#include "vmae/core/error.h"
#include "vmae/core/hash.h"

namespace vmae::io {

namespace fs = std::filesystem;

struct PreparedDataset::State {
  fs::path folder;
  PreparedInfo info;
  std::vector<std::unique_ptr<LmdbReader>> shards;

  // The shard that holds number `wanted` of the items or cases.
  size_t find(int64_t wanted, int64_t PreparedShard::*first) const {
    const auto after = std::upper_bound(info.shards.begin(), info.shards.end(), wanted,
                                        [&](int64_t number, const PreparedShard& s) { return number < s.*first; });
    return static_cast<size_t>(after - info.shards.begin()) - 1;
  }

  std::string_view case_record_of(int64_t number) const {
    const size_t shard = find(number, &PreparedShard::first_case);
    const auto record = shards[shard]->a_case(static_cast<uint32_t>(number - info.shards[shard].first_case));
    if (!record) fail("case", number, "is missing");
    return *record;
  }

  [[noreturn]] void fail(const char* kind, int64_t number, const std::string& why) const {
    fail_file(folder, concat(kind, " ", number, ": ", why), "the dataset is damaged; prepare it again");
  }

  template <class Step>
  auto naming(const char* kind, int64_t number, Step step) const {
    try {
      return step();
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;
      fail(kind, number, error.what());
    }
  }
};

PreparedDataset::PreparedDataset(const fs::path& dir)
    : PreparedDataset(dir.filename() == kIndexName ? dir.parent_path() : dir,
                      read_index((dir.filename() == kIndexName ? dir.parent_path() : dir) / kIndexName)) {}

PreparedDataset::PreparedDataset(const fs::path& dir, PreparedInfo info) : state_(std::make_unique<State>()) {
  state_->folder = dir;
  state_->info = std::move(info);
  for (const PreparedShard& shard : state_->info.shards)
    state_->shards.push_back(std::make_unique<LmdbReader>(state_->folder / shard.file));
}

PreparedDataset::~PreparedDataset() = default;
PreparedDataset::PreparedDataset(PreparedDataset&&) noexcept = default;

const PreparedInfo& PreparedDataset::info() const { return state_->info; }

PreparedItem PreparedDataset::item(int64_t index) const {
  if (index < 0 || index >= size()) throw Error(ExitCode::internal, concat("item ", index, " of ", size()));
  const size_t shard = state_->find(index, &PreparedShard::first_item);
  const auto record = state_->shards[shard]->item(static_cast<uint32_t>(index - info().shards[shard].first_item));
  if (!record) state_->fail("item", index, "is missing");
  PreparedItem item = state_->naming("item", index, [&record = *record] { return parse_item(record); });
  if (item.case_number >= info().num_cases)
    state_->fail("item", index, concat("is of case ", item.case_number, ", which there is not"));
  return item;
}

void PreparedDataset::decode(const PreparedItem& item, std::byte* pixels) const {
  state_->naming("case", item.case_number, [&] {
    check_item(item.record);
    decompress(item.pixels, static_cast<Filter>(item.filter),
               {static_cast<size_t>(item.height), static_cast<size_t>(item.width * item.channels), size_of(item.type)},
               pixels);
  });
}

void PreparedDataset::decode_mask(const PreparedItem& item, uint8_t* mask) const {
  if (item.mask.empty()) {
    std::fill(mask, mask + item.mask_bytes(), uint8_t{0});
    return;
  }
  state_->naming("case", item.case_number, [&] {
    decompress(item.mask, Filter::none, {static_cast<size_t>(item.height), static_cast<size_t>(item.width), 1},
               reinterpret_cast<std::byte*>(mask));
  });
}

PreparedCase PreparedDataset::read_case(int64_t case_number) const {
  if (case_number < 0 || case_number >= info().num_cases)
    throw Error(ExitCode::internal, concat("case ", case_number, " of ", info().num_cases));
  PreparedCase a_case = state_->naming(
      "case", case_number, [&, record = state_->case_record_of(case_number)] { return parse_case(record); });
  a_case.first_item += info().shards[state_->find(case_number, &PreparedShard::first_case)].first_item;
  return a_case;
}

std::string PreparedDataset::compute_digest() const {
  Sha256 cases;
  for (int64_t number = 0; number < info().num_cases; ++number) {
    const PreparedCase a_case = read_case(number);
    Sha256 items;
    std::vector<std::byte> pixels;
    std::vector<uint8_t> mask;
    for (int64_t i = a_case.first_item; i < a_case.first_item + a_case.num_items; ++i) {
      const PreparedItem found = item(i);
      pixels.resize(found.pixel_bytes());
      decode(found, pixels.data());
      mask.resize(found.mask_bytes());
      decode_mask(found, mask.data());
      items.add(found.record);
    }
    if (a_case.failure.empty() && hex(items.finish()) != a_case.items_sha256)
      state_->fail("case", number, "its items are not those that were prepared");
    cases.add(state_->case_record_of(number));
  }
  return dataset_digest(hex(cases.finish()), info());
}

bool is_prepared(const fs::path& path) {
  const fs::path index = path.filename() == kIndexName ? path : path / kIndexName;
  std::error_code ignored;  // a folder that can't be entered is refused where it is listed
  if (!fs::is_regular_file(index, ignored)) return false;
  const std::string text = read_file(index);  // not "no dataset" where it can't be read
  if (is_deep_json(text)) return false;
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  return json.is_object() && json.contains("format") && json["format"] == kFormatName;
}

std::vector<std::string> label_columns(const PreparedInfo& dataset) {
  std::vector<std::string> columns;
  Options options;
  options.add("prepare.findings", columns, "");
  for (const std::string& option : dataset.options) {
    if (option.starts_with("prepare.findings=")) apply_override(option, options);
  }
  return columns;
}

std::vector<SourceRemark> left_out_of(const std::filesystem::path& dir) {
  std::error_code ignored;
  const std::filesystem::path file =
      (std::filesystem::is_directory(dir, ignored) ? dir : dir.parent_path()) / "quarantine.jsonl";
  std::vector<SourceRemark> left_out;
  if (!std::filesystem::exists(file, ignored)) return left_out;
  const std::string lines = read_file(file);
  for (size_t at = 0; at < lines.size();) {
    const size_t end = std::min(lines.find('\n', at), lines.size());
    const auto entry = nlohmann::json::parse(lines.substr(at, end - at), nullptr, /*allow_exceptions=*/false);
    if (entry.is_object() && entry.contains("name") && entry.contains("reason"))
      left_out.push_back({entry["name"], entry["reason"]});
    at = end + 1;
  }
  return left_out;
}

}  // namespace vmae::io
