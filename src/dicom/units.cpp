#include "units.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "vmae/core/text.h"

namespace vmae::io {
namespace {

// RescaleType is optional; US means unspecified, as in derived maps.
bool is_hounsfield(const DicomFrame& frame) {
  return frame.is_scaled && (frame.scaled_type.empty() || frame.scaled_type == "HU");
}

SuvFactor suv_of(const std::vector<const DicomHeader*>& headers) {
  std::optional<double> earliest_s;
  for (const DicomHeader* header : headers) {
    const std::optional<double> acquired_s = header->pet ? header->pet->acquisition_s : std::nullopt;
    if (acquired_s && (!earliest_s || *acquired_s < *earliest_s)) earliest_s = acquired_s;
  }
  return headers[0]->pet ? suv_factor(*headers[0]->pet, earliest_s) : SuvFactor{{}, "its tags are missing"};
}

bool is_measured(const std::string& modality) {
  static const std::set<std::string> kMeasured{"CT", "PT", "MR", "NM", "RTDOSE"};
  return kMeasured.contains(modality);
}

int most_bits(const std::vector<DicomHeader>& headers) {
  int most = 0;
  for (const DicomHeader& header : headers)
    most = std::max(most, header.pixels.bits_stored - (header.pixels.is_signed ? 1 : 0));
  return most;
}

// Largest number of the stored bits, in pictures; 0 where values are measurements.
double largest_stored(const std::vector<DicomHeader>& headers, const std::string& modality) {
  const PixelFormat& pixels = headers[0].pixels;
  if (pixels.kind != PixelKind::integer) return 0.0;
  if (!is_grey(pixels))
    return std::ldexp(1.0, pixels.palette_bits > 0 ? pixels.palette_bits : pixels.bits_stored) - 1.0;
  if (is_measured(modality)) return 0.0;
  return std::ldexp(1.0, most_bits(headers)) - 1.0;
}

}  // namespace

bool is_shown_inverted(const DicomHeader& header) {
  return header.pixels.photometric == "MONOCHROME1" && header.modality != "CT" && header.modality != "PT" &&
         header.modality != "NM";
}

bool have_comparable_numbers(const DicomHeader& a, const DicomHeader& b) {
  const bool have_equal_bits =
      stored_type_of(a.pixels) == stored_type_of(b.pixels) && a.pixels.bits_stored == b.pixels.bits_stored;
  if (is_grey(a.pixels) != is_grey(b.pixels) || a.modality != b.modality ||
      is_shown_inverted(a) != is_shown_inverted(b))
    return false;
  return have_equal_bits || (is_grey(a.pixels) && is_measured(a.modality) && !is_shown_inverted(a));
}

std::string units_problem(const std::vector<const DicomHeader*>& headers) {
  const DicomHeader& first = *headers[0];
  if (!is_grey(first.pixels)) return "";
  if (first.modality == "PT") return suv_of(headers).problem;
  if (first.modality != "CT") return "";
  for (const DicomHeader* header : headers) {
    for (const DicomFrame& frame : header->frames) {
      if (!frame.is_scaled) return "it has no rescale slope and intercept";
      if (!is_hounsfield(frame)) return concat("its rescale type is '", frame.scaled_type.substr(0, 16), "'");
    }
  }
  return "";
}

void set_units(const std::vector<DicomHeader>& headers, const std::vector<DicomFrame>& slices, Volume& volume) {
  const PixelFormat& pixels = headers[0].pixels;
  const bool is_colour = !is_grey(pixels);
  double factor = 1.0;
  if (!is_colour && volume.modality == "CT" && std::all_of(slices.begin(), slices.end(), is_hounsfield))
    volume.units = Units::hu;
  if (!is_colour && volume.modality == "PT") {
    std::vector<const DicomHeader*> pointers;
    for (const DicomHeader& header : headers) pointers.push_back(&header);
    if (const SuvFactor suv = suv_of(pointers); suv.factor) {
      volume.units = Units::suv;
      factor = *suv.factor;
    }
  }
  volume.scaling.clear();
  for (const DicomFrame& slice : slices) {
    volume.scaling.push_back(is_colour ? Scaling{}
                                       : Scaling{slice.scaling.slope * factor, slice.scaling.intercept * factor});
  }
  const bool is_one = std::all_of(volume.scaling.begin(), volume.scaling.end(),
                                  [&](const Scaling& scaling) { return scaling == volume.scaling[0]; });
  if (is_one) volume.scaling.resize(1);
  const double largest = largest_stored(headers, volume.modality);
  volume.stored_max =
      largest > 0 && is_one ? std::max(0.0, volume.scaling[0].slope * largest + volume.scaling[0].intercept) : 0.0;
}

}  // namespace vmae::io
