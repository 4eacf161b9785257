#pragma once
// What one rescaled unit of a PET image is in SUV by body weight.
#include <optional>
#include <string>
#include <vector>

#include "file.h"

namespace vmae::io {

// What the formula needs of one file.
struct PetTags {
  std::string units, suv_type, decay_correction, corrected;  // (0054,1001), (0054,1006), (0054,1102), (0028,0051)
  std::string nuclide_code;                                  // CodeValue of RadionuclideCodeSequence
  std::optional<double> weight_kg, dose_bq, half_life_s;
  // since some midnight; injection_has_date says whether its date was known
  std::optional<double> series_s, acquisition_s, injection_s;
  bool injection_has_date = false;
  // that differ: which one the numbers are to be related to isn't said
  bool has_several_injections = false;
  std::optional<double> philips_suv, philips_bqml;  // (7053,1000), (7053,1009) of "Philips PET Private Group"
};
PetTags read_pet_tags(const DicomFile& file);

struct SuvFactor {
  std::optional<double> factor;
  std::string problem;  // where there is no factor
};
// No factor where a tag is missing, or where weight, dose, half life or times are none
// that a patient has. `earliest_acquisition_s`: over all files of the series, where
// known. Bq/ml * weight / (dose at the time that the decay correction refers to).
SuvFactor suv_factor(const PetTags& tags, std::optional<double> earliest_acquisition_s);

}  // namespace vmae::io
