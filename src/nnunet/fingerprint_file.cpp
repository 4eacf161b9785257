// dataset_fingerprint.json
#include <nlohmann/json.hpp>

#include "intensities_json.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/json_text.h"
#include "vmae/nnunet/fingerprint.h"

namespace vmae::nnunet {
namespace {

constexpr const char* kRelativeSize = "median_relative_size_after_cropping";
constexpr int kIndent = 4;  // as nnU-Net

struct Statistic {
  const char* key;
  double Intensities::*value;
};
constexpr Statistic kStatistics[] = {{"max", &Intensities::max},
                                     {"mean", &Intensities::mean},
                                     {"median", &Intensities::median},
                                     {"min", &Intensities::min},
                                     {"percentile_00_5", &Intensities::percentile_00_5},
                                     {"percentile_99_5", &Intensities::percentile_99_5},
                                     {"std", &Intensities::std}};

}  // namespace

Json intensities_to_json(const std::vector<Intensities>& channels) {
  Json json = Json::object();
  for (size_t i = 0; i < channels.size(); ++i) {
    Json& one = json[std::to_string(i)] = Json::object();
    for (const Statistic& statistic : kStatistics) one[statistic.key] = channels[i].*statistic.value;
  }
  return json;
}

std::vector<Intensities> intensities_from_json(const JsonPlace& place) {
  std::vector<Intensities> channels(place.json().size());
  for (size_t i = 0; i < channels.size(); ++i) {
    const JsonPlace one = place.at(std::to_string(i));
    for (const Statistic& statistic : kStatistics) channels[i].*statistic.value = one.at(statistic.key).number();
  }
  return channels;
}

Fingerprint read_fingerprint(const std::filesystem::path& file) {
  const Json json = read_json(file);
  const JsonPlace place(file, json);
  Fingerprint fingerprint;
  fingerprint.channels = intensities_from_json(place.at(kIntensitiesKey));
  fingerprint.median_relative_size_after_cropping = place.at(kRelativeSize).number();
  fingerprint.spacings = place.at("spacings").vector([](const JsonPlace& row) {
    return row.array<double, 3>([](const JsonPlace& one) {
      if (one.number() <= 0) one.fail("meant is a spacing above 0");
      return one.number();
    });
  });
  fingerprint.shapes_after_crop = place.at("shapes_after_crop").vector([](const JsonPlace& row) {
    return row.array<int64_t, 3>([](const JsonPlace& one) { return one.integer(1); });
  });
  if (fingerprint.spacings.empty()) place.at("spacings").fail("meant is at least one case");
  if (fingerprint.shapes_after_crop.size() != fingerprint.spacings.size())
    place.at("shapes_after_crop").fail("meant are as many cases as in \"spacings\"");
  return fingerprint;
}

void write_fingerprint(const std::filesystem::path& file, const Fingerprint& fingerprint) {
  Json json;
  json[kIntensitiesKey] = intensities_to_json(fingerprint.channels);
  json[kRelativeSize] = fingerprint.median_relative_size_after_cropping;
  json["shapes_after_crop"] = fingerprint.shapes_after_crop;
  json["spacings"] = fingerprint.spacings;
  write_file_atomically(file, json_text(json, kIndent));
}

}  // namespace vmae::nnunet
