// SUVbw = activity concentration [Bq/ml] * body weight [g] / (injected dose [Bq] * 2^(-dt / half life)), with 1 ml of tissue taken as 1 g; dt from injection to
// the time that the image's decay correction refers to (QIBA FDG-PET/CT profile, "vendor-neutral pseudo-code for SUV calculation"):
//   DecayCorrection START: the start of the series, or of its first acquisition where the series time is later (rewritten by post-processing)
//   ADMIN: the injection, so dt = 0
//   NONE: not decay corrected, no SUV
// Units GML are SUV already (by body weight unless SUVType says otherwise). CNTS need Philips' private factors: 1000 counts to SUV, 1009 counts to Bq/ml.
#include "dicom_suv.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <chrono>
#include <cmath>

#include "vmae/core/error.h"

namespace vmae::io {
namespace {

constexpr double kDay_s = 86400;

// HHMMSS.FFFFFF, or HH:MM:SS of old files; shorter ones mean the beginning.
std::optional<double> seconds_of_time(std::string text) {
  std::erase(text, ':');
  if (text.size() < 2) return {};
  text.resize(std::max<size_t>(text.size(), 6), '0');
  const auto hours = parse_integer(text.substr(0, 2)), minutes = parse_integer(text.substr(2, 2));
  const auto seconds = parse_number(text.substr(4));
  if (!hours || !minutes || !seconds || *hours > 23 || *minutes > 59 || *seconds >= 61) return {};
  return static_cast<double>(*hours * 3600 + *minutes * 60) + *seconds;
}

std::optional<double> seconds_of_date(const std::string& text) {
  if (text.size() < 8) return {};
  const auto year = parse_integer(text.substr(0, 4)), month = parse_integer(text.substr(4, 2)), day = parse_integer(text.substr(6, 2));
  if (!year || !month || !day) return {};
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return {};
  return kDay_s * static_cast<double>(std::chrono::sys_days(date).time_since_epoch().count());
}

std::optional<double> moment(const std::string& date, const std::string& time) {
  const auto day = seconds_of_date(date), seconds = seconds_of_time(time);
  if (!seconds) return {};
  return day.value_or(0.0) + *seconds;
}

SuvFactor none(std::string problem) { return {{}, std::move(problem)}; }

}  // namespace

PetTags read_pet_tags(const DicomFile& file) {
  DcmItem& data = file.data();
  PetTags tags;
  tags.units = text_of(data, DCM_Units);
  tags.suv_type = text_of(data, DcmTagKey(0x0054, 0x1006));
  tags.decay_correction = text_of(data, DCM_DecayCorrection);
  tags.corrected = text_of(data, DCM_CorrectedImage);
  tags.weight_kg = number_of(data, DCM_PatientWeight);
  const std::string series_date = text_of(data, DCM_SeriesDate);
  tags.series_s = moment(series_date, text_of(data, DCM_SeriesTime));
  const std::string acquisition_date = text_of(data, DCM_AcquisitionDate);
  tags.acquisition_s = moment(acquisition_date.empty() ? series_date : acquisition_date, text_of(data, DCM_AcquisitionTime));
  if (DcmItem* const drug = item_of(data, DCM_RadiopharmaceuticalInformationSequence)) {
    tags.dose_bq = number_of(*drug, DCM_RadionuclideTotalDose);
    tags.half_life_s = number_of(*drug, DCM_RadionuclideHalfLife);
    const std::string start = text_of(*drug, DCM_RadiopharmaceuticalStartDateTime);
    if (start.size() >= 12) {
      const std::string time = start.substr(8, start.find_first_of("+-", 8) - 8);  // without the offset from UTC, which the series' times lack
      tags.injection_s = moment(start.substr(0, 8), time);
      tags.injection_has_date = tags.injection_s.has_value();
    }
    if (!tags.injection_s) tags.injection_s = moment(series_date, text_of(*drug, DCM_RadiopharmaceuticalStartTime));
    for (size_t i = 1; i < num_items(data, DCM_RadiopharmaceuticalInformationSequence); ++i) {
      DcmItem& other = *item_of(data, DCM_RadiopharmaceuticalInformationSequence, i);
      for (const DcmTagKey& tag : {DCM_RadionuclideTotalDose, DCM_RadionuclideHalfLife, DCM_RadiopharmaceuticalStartDateTime, DCM_RadiopharmaceuticalStartTime})
        tags.has_several_injections = tags.has_several_injections || text_of(other, tag) != text_of(*drug, tag);
    }
  }
  if (text_of(data, DcmTagKey(0x7053, 0x0010)).starts_with("Philips PET")) {
    tags.philips_suv = number_of(data, DcmTagKey(0x7053, 0x1000));
    tags.philips_bqml = number_of(data, DcmTagKey(0x7053, 0x1009));
  }
  return tags;
}

SuvFactor suv_factor(const PetTags& tags, std::optional<double> earliest_acquisition_s) {
  if (tags.units == "GML") {
    if (!tags.suv_type.empty() && tags.suv_type != "BW") return none(concat("its SUV are by '", tags.suv_type.substr(0, 16), "', not by body weight"));
    return {1.0, ""};
  }
  double to_bqml = 1.0;
  if (tags.units == "CNTS") {
    if (tags.philips_suv && *tags.philips_suv > 0) return {*tags.philips_suv, ""};
    if (!tags.philips_bqml || !(*tags.philips_bqml > 0)) return none("its units are counts (CNTS), without a factor to Bq/ml");
    to_bqml = *tags.philips_bqml;
  } else if (tags.units != "BQML") {
    return none(concat("its units are '", tags.units.substr(0, 16), "'; BQML, GML and CNTS are supported"));
  }
  if (tags.corrected.find("ATTN") == std::string::npos || tags.corrected.find("DECY") == std::string::npos) {
    return none("it is not marked as corrected for attenuation and decay");
  }
  if (tags.has_several_injections) return none("it names several injections");
  if (!tags.weight_kg || !(*tags.weight_kg > 0)) return none("the patient's weight is missing");
  if (!tags.dose_bq || !(*tags.dose_bq > 0)) return none("the injected dose is missing");
  if (!tags.half_life_s || !(*tags.half_life_s > 0)) return none("the half life is missing");
  if (*tags.dose_bq < 1e5) return none("the injected dose is not in Bq");
  double decayed_s = 0.0;
  if (tags.decay_correction == "START") {
    std::optional<double> reference = tags.series_s;
    if (earliest_acquisition_s && (!reference || *earliest_acquisition_s < *reference)) reference = earliest_acquisition_s;
    if (!reference || !tags.injection_s) return none("the times of injection and series are missing");
    decayed_s = *reference - *tags.injection_s;
    if (decayed_s < 0 && !tags.injection_has_date) decayed_s += kDay_s;  // injected before midnight
    if (decayed_s < 0 || decayed_s > kDay_s) return none("the times of injection and series do not fit");
  } else if (tags.decay_correction != "ADMIN") {
    return none(concat("its decay correction is '", tags.decay_correction.substr(0, 16), "'; START and ADMIN are supported"));
  }
  return {to_bqml * *tags.weight_kg * 1000.0 / (*tags.dose_bq * std::exp2(-decayed_s / *tags.half_life_s)), ""};
}

}  // namespace vmae::io
