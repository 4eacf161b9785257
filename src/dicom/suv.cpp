// SUVbw = activity concentration [Bq/ml] * body weight [g] / (injected dose [Bq] * 2^(-dt / half
// life)), with 1 ml of tissue taken as 1 g; dt from injection to the time that the image's decay
// correction refers to (QIBA FDG-PET/CT profile, "vendor-neutral pseudo-code for SUV calculation"):
//   DecayCorrection START: the start of the series, or of its first acquisition where the series time is
//   later (rewritten by post-processing) ADMIN: the injection, so dt = 0 NONE: not decay corrected, no SUV
// Units GML are SUV already (by body weight unless SUVType says otherwise). CNTS need Philips' private factors:
// 1000 counts to SUV, 1009 counts to Bq/ml. Numbers that no patient has (a weight in grams, a half life in
// minutes, clocks that disagree) make no SUV: a factor that is wrong a thousandfold looks like any other.
#include "suv.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <array>
#include <chrono>
#include <cmath>
#include <string_view>

#include "vmae/core/error.h"

namespace vmae::io {
namespace {

constexpr double kDay_s = 86400;
// From a mouse to the heaviest patient; from a hundredth of what
// a long-lived tracer takes in an adult to what a mouse is given.
constexpr double kLightest_kg = 0.005, kHeaviest_kg = 500, kLeast_bq_per_kg = 2e4, kMost_bq_per_kg = 2e9;
constexpr double kShortestHalfLife_s = 60, kLongestHalfLife_s = 10 * kDay_s;  // Rb-82 75 s; I-124 4.2 days
// Nobody measures what is left after 8 half lives (0.4 %). Times without a
// date that only fit over midnight may as well be two clocks that disagree.
constexpr double kMostHalfLives = 8, kMostHalfLivesOverMidnight = 4, kMostOverMidnight_s = kDay_s / 2;

// By RadionuclideCodeSequence (PS3.16 CID 4020; SCT, and SRT of older files). Half lives of ICRP 107.
std::optional<double> known_half_life_s(const std::string& code) {
  constexpr double kMinute_s = 60, kHour_s = 3600;
  struct Nuclide {
    std::string_view sct, srt;
    double half_life_s;
  };
  static constexpr std::array kNuclides{
      Nuclide{"40565003", "C-105A1", 20.39 * kMinute_s},   // C-11
      Nuclide{"21576001", "C-107A1", 9.965 * kMinute_s},   // N-13
      Nuclide{"129504001", "C-B1038", 122.24},             // O-15
      Nuclide{"77004003", "C-111A1", 109.77 * kMinute_s},  // F-18
      Nuclide{"3932008", "C-127A2", 12.7 * kHour_s},       // Cu-64
      Nuclide{"35337001", "C-131A3", 67.71 * kMinute_s},   // Ga-68
      Nuclide{"79197006", "C-159A2", 76.4},                // Rb-82
      Nuclide{"63360001", "C-168A4", 78.41 * kHour_s},     // Zr-89
      Nuclide{"14691008", "C-162A7", 64.1 * kHour_s},      // Y-90
      Nuclide{"40937006", "C-114A5", 4.176 * kDay_s},      // I-124
  };
  for (const Nuclide& nuclide : kNuclides) {
    if (code == nuclide.sct || code == nuclide.srt) return nuclide.half_life_s;
  }
  return {};
}

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
  const auto year = parse_integer(text.substr(0, 4)), month = parse_integer(text.substr(4, 2)),
             day = parse_integer(text.substr(6, 2));
  if (!year || !month || !day) return {};
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(static_cast<unsigned>(*month)),
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

// Why dose, weight and half life can't be a patient's and a radionuclide's;
// "" if they can. Weight and dose, which are the patient's, aren't named.
std::string implausible(double weight_kg, double dose_bq, double half_life_s, const std::string& nuclide_code) {
  if (weight_kg < kLightest_kg || weight_kg > kHeaviest_kg) {
    return concat("the patient's weight is not between ", kLightest_kg, " and ", kHeaviest_kg,
                  " kg: it is wrong, or in another unit");
  }
  const double per_kg = dose_bq / weight_kg;
  if (per_kg < kLeast_bq_per_kg || per_kg > kMost_bq_per_kg)
    return "the injected dose is not in Bq, or the patient's weight not in kg";
  if (half_life_s < kShortestHalfLife_s || half_life_s > kLongestHalfLife_s) {
    return concat("its half life of ", half_life_s, " s is not between ", kShortestHalfLife_s, " and ",
                  kLongestHalfLife_s, " s: it is wrong, or in another unit");
  }
  const std::optional<double> known_s = known_half_life_s(nuclide_code);
  if (known_s && (half_life_s < *known_s / 1.1 || half_life_s > *known_s * 1.1)) {
    return concat("its half life of ", half_life_s, " s is not that of its radionuclide, ", *known_s, " s");
  }
  return "";
}

// From injection to `reference_s`, or why the times can't be those of one scan.
struct Elapsed {
  double seconds = 0;
  std::string problem;
};
Elapsed elapsed(double reference_s, const PetTags& tags) {
  double seconds = reference_s - *tags.injection_s;
  const bool is_over_midnight = seconds < 0 && !tags.injection_has_date;
  if (is_over_midnight) seconds += kDay_s;
  if (seconds < 0 || seconds > kDay_s) return {0, "the times of injection and series do not fit"};
  const double half_lives = seconds / *tags.half_life_s;
  if (half_lives > kMostHalfLives)
    return {0, concat("the times of injection and series do not fit its half life: ", half_lives,
                      " half lives lie between them")};
  if (is_over_midnight && (half_lives > kMostHalfLivesOverMidnight || seconds > kMostOverMidnight_s)) {
    return {0, concat("the times of injection and series do not fit: the injection, which has no date, would be ",
                      seconds / 3600, " hours earlier, on the day before; two clocks that disagree are more likely")};
  }
  return {seconds, ""};
}

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
  tags.acquisition_s =
      moment(acquisition_date.empty() ? series_date : acquisition_date, text_of(data, DCM_AcquisitionTime));
  if (DcmItem* const drug = item_of(data, DCM_RadiopharmaceuticalInformationSequence)) {
    tags.dose_bq = number_of(*drug, DCM_RadionuclideTotalDose);
    tags.half_life_s = number_of(*drug, DCM_RadionuclideHalfLife);
    if (DcmItem* const nuclide = item_of(*drug, DCM_RadionuclideCodeSequence))
      tags.nuclide_code = text_of(*nuclide, DCM_CodeValue);
    const std::string start = text_of(*drug, DCM_RadiopharmaceuticalStartDateTime);
    if (start.size() >= 12) {
      // without the offset from UTC, which the series' times lack
      const std::string time = start.substr(8, start.find_first_of("+-", 8) - 8);
      tags.injection_s = moment(start.substr(0, 8), time);
      tags.injection_has_date = tags.injection_s.has_value();
    }
    if (!tags.injection_s) tags.injection_s = moment(series_date, text_of(*drug, DCM_RadiopharmaceuticalStartTime));
    for (size_t i = 1; i < num_items(data, DCM_RadiopharmaceuticalInformationSequence); ++i) {
      DcmItem& other = *item_of(data, DCM_RadiopharmaceuticalInformationSequence, i);
      for (const DcmTagKey& tag : {DCM_RadionuclideTotalDose, DCM_RadionuclideHalfLife,
                                   DCM_RadiopharmaceuticalStartDateTime, DCM_RadiopharmaceuticalStartTime})
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
    if (!tags.suv_type.empty() && tags.suv_type != "BW")
      return none(concat("its SUV are by '", tags.suv_type.substr(0, 16), "', not by body weight"));
    return {1.0, ""};
  }
  double to_bqml = 1.0;
  if (tags.units == "CNTS") {
    if (tags.philips_suv && *tags.philips_suv > 0) return {tags.philips_suv, ""};
    if (!tags.philips_bqml || !(*tags.philips_bqml > 0))
      return none("its units are counts (CNTS), without a factor to Bq/ml");
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
  if (std::string problem = implausible(*tags.weight_kg, *tags.dose_bq, *tags.half_life_s, tags.nuclide_code);
      !problem.empty())
    return none(std::move(problem));
  double decayed_s = 0.0;
  if (tags.decay_correction == "START") {
    std::optional<double> reference = tags.series_s;
    if (earliest_acquisition_s && (!reference || *earliest_acquisition_s < *reference))
      reference = earliest_acquisition_s;
    if (!reference || !tags.injection_s) return none("the times of injection and series are missing");
    Elapsed time = elapsed(*reference, tags);
    if (!time.problem.empty()) return none(std::move(time.problem));
    decayed_s = time.seconds;
  } else if (tags.decay_correction != "ADMIN") {
    return none(
        concat("its decay correction is '", tags.decay_correction.substr(0, 16), "'; START and ADMIN are supported"));
  }
  return {to_bqml * *tags.weight_kg * 1000.0 / (*tags.dose_bq * std::exp2(-decayed_s / *tags.half_life_s)), ""};
}

}  // namespace vmae::io
