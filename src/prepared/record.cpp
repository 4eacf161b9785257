#include "record.h"

#include <cfloat>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "codec.h"
#include "vmae/core/crc32c.h"
#include "vmae/core/error.h"
#include "vmae/core/json_number.h"
#include "vmae/core/json_text.h"

namespace vmae::io {
namespace {

using Json = nlohmann::json;
constexpr uint32_t kMaxSide = 1 << 16;
constexpr uint64_t kMaxBytes = uint64_t{1} << 31;

[[noreturn]] void fail(const std::string& what) { throw Error(ExitCode::data, what); }

// NaN has no JSON; null stands for it.
Json number(float value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
float number(const Json& json) {
  const double value = json.is_null() ? std::nan("") : json.get<double>();
  if (std::abs(value) > FLT_MAX) fail("a case with a label beyond the range of numbers");
  return static_cast<float>(value);
}

int64_t integer(const Json& json) {
  const auto value = whole_number(json);
  if (!value) fail("a case with something else in the place of a whole number");
  return *value;
}

}  // namespace

PreparedItem parse_item(std::string_view record) {
  ItemHeader header;
  if (record.size() < sizeof(header)) fail(concat("an item of ", record.size(), " bytes, too short for its header"));
  std::memcpy(&header, record.data(), sizeof(header));
  if (header.magic != kItemMagic) fail("an item that does not begin as one");
  if (header.type > static_cast<uint8_t>(StoredType::f64) || header.filter > static_cast<uint8_t>(Filter::up))
    fail("an item of unknown type");
  const uint64_t num_values = uint64_t{header.height} * header.width * header.channels;
  if (header.height == 0 || header.width == 0 || header.channels == 0 || header.height > kMaxSide ||
      header.width > kMaxSide || num_values > kMaxBytes / size_of(static_cast<StoredType>(header.type))) {
    fail(concat("an item of impossible size ", header.height, " x ", header.width, " x ", header.channels));
  }
  if (sizeof(header) + uint64_t{header.pixel_size} + header.mask_size != record.size())
    fail("an item whose length is not what its header says");
  PreparedItem item;
  item.case_number = header.case_number;
  item.slice = header.slice;
  item.height = header.height;
  item.width = header.width;
  item.channels = header.channels;
  item.type = static_cast<StoredType>(header.type);
  item.scaling = {header.slope, header.intercept};
  item.stored_max = header.stored_max;
  item.stats = header.stats;
  item.filter = header.filter;
  item.record = record;
  item.pixels = record.substr(sizeof(header), header.pixel_size);
  item.mask = record.substr(sizeof(header) + header.pixel_size);
  return item;
}

void check_item(std::string_view record) {
  ItemHeader header;
  std::memcpy(&header, record.data(), sizeof(header));
  constexpr size_t kSkipped = offsetof(ItemHeader, type);
  if (crc32c(record.data() + kSkipped, record.size() - kSkipped) != header.crc) fail("an item with a wrong checksum");
}

std::string case_record(const PreparedCase& c) {
  Json labels = Json::array();
  for (const float label : c.labels) labels.push_back(number(label));
  Json json = {{"name", c.name}, {"patient", c.patient}};
  if (c.is_patient_known) json["patient_known"] = *c.is_patient_known;
  if (!c.failure.empty()) {
    json["failure"] = c.failure;
  } else {
    json.update({{"split", c.split},
                 {"fold", c.fold},
                 {"modality", c.modality},
                 {"units", static_cast<int>(c.units)},
                 {"axis", c.axis},
                 {"size", c.size},
                 {"spacing_mm", c.spacing_mm},
                 {"origin_mm", c.origin_mm},
                 {"direction", c.direction},
                 {"labels", labels},
                 {"source_sha256", c.source_sha256},
                 {"pixels_sha256", c.pixels_sha256},
                 {"items_sha256", c.items_sha256},
                 {"first_item", c.first_item},
                 {"num_items", c.num_items}});
    if (c.duplicate_of) json["duplicate_of"] = *c.duplicate_of;
    if (!c.has_millimetres) json["has_millimetres"] = false;
    if (!c.channels.empty()) json["channels"] = c.channels;
    if (c.channel_of >= 0) json["channel_of"] = c.channel_of;
  }
  return json_text(json);
}

PreparedCase parse_case(std::string_view record) {
  if (is_deep_json(record)) fail("a case that nests too deeply");
  try {
    const Json json = Json::parse(record);
    PreparedCase c;
    c.name = json.at("name");
    c.patient = json.at("patient");
    if (json.contains("patient_known")) c.is_patient_known = json["patient_known"].get<bool>();
    if (json.contains("failure")) {
      c.failure = json["failure"];
      return c;
    }
    c.split = json.at("split");
    c.fold = integer(json.at("fold"));
    c.modality = json.at("modality");
    const int64_t units = integer(json.at("units"));
    if (units < 0 || units > 2) fail("a case with unknown units");
    c.units = static_cast<Units>(units);
    const int64_t axis = integer(json.at("axis"));
    if (axis < 0 || axis > 2) fail("a case with an axis that is not 0, 1 or 2");
    c.axis = static_cast<int>(axis);
    for (size_t i = 0; i < c.size.size(); ++i) c.size[i] = integer(json.at("size").at(i));
    c.spacing_mm = json.at("spacing_mm");
    c.origin_mm = json.at("origin_mm");
    c.direction = json.at("direction");
    c.has_millimetres = json.value("has_millimetres", true);
    for (const Json& label : json.at("labels")) c.labels.push_back(number(label));
    c.source_sha256 = json.at("source_sha256");
    c.pixels_sha256 = json.at("pixels_sha256");
    c.items_sha256 = json.at("items_sha256");
    c.first_item = integer(json.at("first_item"));
    c.num_items = integer(json.at("num_items"));
    if (c.first_item < 0 || c.num_items < 0 || c.first_item > UINT32_MAX || c.num_items > UINT32_MAX)
      fail("a case with an impossible number of items");
    for (const Json& channel : json.value("channels", Json::array())) c.channels.push_back(integer(channel));
    if (json.contains("channel_of")) c.channel_of = integer(json["channel_of"]);
    if (json.contains("duplicate_of")) c.duplicate_of = integer(json["duplicate_of"]);
    return c;
  } catch (const Json::exception& error) {
    fail(concat("a case that is damaged: ", error.what()));
  }
}

}  // namespace vmae::io
