#include "tiff_description.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "vmae/core/text.h"
#include "vmae/image/length_units.h"
#include "vmae/image/picture_decode.h"

namespace vmae::io {
namespace {

// "slices=8" on a line of its own in ImageJ's description.
double imagej_value(const std::string& description, const std::string& key, double otherwise) {
  const size_t at = description.find("\n" + key + "=");
  if (at == std::string::npos) return otherwise;
  const size_t from = at + key.size() + 2;
  return parse_number(trim(description.substr(from, description.find('\n', from) - from))).value_or(otherwise);
}

std::string imagej_unit(const std::string& description) {
  const size_t at = description.find("\nunit=");
  return at == std::string::npos
             ? ""
             : std::string(trim(description.substr(at + 6, description.find('\n', at + 6) - at - 6)));
}

// `SizeC="3"` in the XML of OME.
double ome_value(const std::string& description, const std::string& key) {
  const size_t at = description.find(" " + key + "=\"");
  if (at == std::string::npos) return 1;
  const size_t from = at + key.size() + 3;
  return parse_number(description.substr(from, description.find('"', from) - from)).value_or(1);
}

// The sizes in tifffile's description {"shape": [2, 8, 24, 24]}, without
// those of the pixels of a page; nothing where it does not fit the page.
std::optional<std::vector<int64_t>> tifffile_axes(const std::string& description, const PageShape& page) {
  const size_t at = description.find("\"shape\": [");
  std::vector<int64_t> sizes;
  if (!description.starts_with('{') || at == std::string::npos) return std::nullopt;
  const size_t from = at + 10, end = description.find(']', from);
  std::string number;
  for (size_t i = from; i <= end && i < description.size(); ++i) {
    if (description[i] != ',' && description[i] != ']') {
      number += description[i];
      continue;
    }
    sizes.push_back(parse_integer(trim(number)).value_or(0));
    number.clear();
  }
  if (page.samples > 1 && sizes.size() > 2 && sizes.back() == page.samples) sizes.pop_back();
  if (sizes.size() < 2 || sizes[sizes.size() - 1] != page.width || sizes[sizes.size() - 2] != page.height)
    return std::nullopt;
  sizes.resize(sizes.size() - 2);
  std::erase(sizes, 1);
  if (page.is_separate && !sizes.empty() && sizes.back() == page.samples) sizes.pop_back();
  return sizes;
}

// How many images an OME description has, under whatever prefix.
int64_t count_ome_images(const std::string& description) {
  int64_t count = 0;
  const size_t annotations = description.find("StructuredAnnotations");  // whatever a vendor wrote
  for (size_t at = description.find("Image"); at < annotations && at != std::string::npos;
       at = description.find("Image", at + 1)) {
    const size_t open = description.find_last_of("<>/ \n\t\"", at), end = at + 5;
    const bool is_element =
        open != std::string::npos && description[open] == '<' && (open + 1 == at || description[at - 1] == ':');
    count += is_element && end < description.size() &&
                     std::string_view(" >/\n\r\t").find(description[end]) != std::string_view::npos
                 ? 1
                 : 0;
  }
  return count;
}

}  // namespace

std::array<double, 3> imagej_spacing_mm(const std::string& description, double pixels_per_unit_x,
                                        double pixels_per_unit_y) {
  const double mm = millimetres_of(imagej_unit(description)).value_or(0),
               step = imagej_value(description, "spacing", 0);
  if (mm == 0 || !(step > 0) || !(pixels_per_unit_x > 0) || !(pixels_per_unit_y > 0)) return {0, 0, 0};
  return {mm / pixels_per_unit_x, mm / pixels_per_unit_y, mm * step};
}

void check_meaning(const std::string& description, const PageShape& page, int64_t num_pages, int64_t num_shaped) {
  const std::string hint = "write each channel and each time point into a file of its own, with one page per slice";
  double channels = 1, times = 1, slices = 1, told = 0;
  const bool is_imagej = description.starts_with("ImageJ=");
  const bool is_ome =
      !is_imagej && (description.find("<OME") != std::string::npos || description.find(":OME") != std::string::npos);
  // tifffile wrote each page by itself, as programs do that have one slice at a time
  const bool is_by_page = num_shaped == num_pages;
  int64_t images = is_by_page ? 1 : num_shaped;
  if (is_ome) images = count_ome_images(description);
  if (images > 1)
    fail_picture(concat("is a TIFF that holds ", images, " images (", is_ome ? "OME" : "tifffile", " says so)"),
                 "save each as a file of its own");
  if (is_imagej) {
    channels = imagej_value(description, "channels", 1) /
               (page.samples > 1 && page.samples == imagej_value(description, "channels", 1) ? page.samples : 1);
    times = imagej_value(description, "frames", 1);
    slices = imagej_value(description, "slices", 1);
    told = imagej_value(description, "images", 0);
  } else if (is_ome) {
    channels = std::max(1.0, ome_value(description, "SizeC") / page.samples);
    times = ome_value(description, "SizeT");
    slices = ome_value(description, "SizeZ");
    if (description.find(" SizeZ=\"") != std::string::npos) told = channels * times * slices;
  } else if (const auto axes = tifffile_axes(description, page); axes && (!is_by_page || !axes->empty())) {
    told = 1;
    std::string text;
    for (const int64_t size : *axes) {
      told *= static_cast<double>(size);
      text += concat(text.empty() ? "" : " x ", size);
    }
    if (axes->size() > 1)
      fail_picture(concat("is a TIFF of ", text, " pages: more axes than a stack of slices has"), hint);
  }
  if (channels > 1)
    fail_picture(concat("is a TIFF of ", channels, " channels, which its pages hold one after the other"), hint);
  if (times > 1 && slices > 1)
    fail_picture(concat("is a TIFF of ", times, " time points of ", slices, " slices"), hint);
  if (told > static_cast<double>(num_pages))
    fail_picture(concat("is a TIFF of ", told, " pages, of which only ", num_pages, num_pages == 1 ? " has" : " have",
                        " a directory"),
                 "save it again as a TIFF with all of its pages");
  if (told > 0 && told < static_cast<double>(num_pages))
    fail_picture(concat("is a TIFF of ", num_pages, " pages, of which its description knows ", told,
                        ": what the others are is not known"),
                 "save each image as a file of its own, or all pages as one stack");
}

}  // namespace vmae::io
