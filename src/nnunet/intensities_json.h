#pragma once
// "foreground_intensity_properties_per_channel", which fingerprints and plans have: {"0": {"max": ..., ...}, "1": ...}.
#include <vector>

#include "json_place.h"
#include "vmae/nnunet/fingerprint.h"

namespace vmae::nnunet {

constexpr const char* kIntensitiesKey = "foreground_intensity_properties_per_channel";

Json intensities_to_json(const std::vector<Intensities>& channels);
std::vector<Intensities> intensities_from_json(const JsonPlace& place);

}  // namespace vmae::nnunet
