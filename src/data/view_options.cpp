#include "vmae/data/view_options.h"

#include "vmae/core/error.h"

namespace vmae::data {

void describe(Options& options, ViewOptions& views) {
  const NumberCheck probability = in_range(0.0, 1.0);
  options.add("crop_area", views.crop_area,
              "[smallest, largest] share of the image that a view shows. Radiographs often take [0.2, 1]: what is told "
              "from the whole is not to be cut away.",
              in_range(0.001, 1.0));
  options.add("crop_ratio", views.crop_ratio,
              "[smallest, largest] width over height of that part, in pixels of the image, before it is stretched to "
              "model.image_size.",
              in_range(0.01, 100.0));
  options.add("jitter", views.jitter,
              "Probability of changing brightness, contrast, saturation and hue, in random order, values cut at 0 and "
              "1 after each.",
              probability);
  options.add("brightness", views.brightness, "All values times 1 - brightness (at least 0) to 1 + brightness.",
              in_range(0.0, 10.0));
  options.add("contrast", views.contrast,
              "Distances to the image's mean times 1 - contrast (at least 0) to 1 + contrast.", in_range(0.0, 10.0));
  options.add("saturation", views.saturation,
              "Colour images: distances to their grey times 1 - saturation (at least 0) to 1 + saturation.",
              in_range(0.0, 10.0));
  options.add("hue", views.hue, "Colour images: hue turned by up to this share of the circle, to both sides.",
              in_range(0.0, 0.5));
  options.add("grey", views.grey, "Colour images: probability of becoming grey.", probability);
  options.add("blur", views.blur, "Probability of a Gaussian blur, whose kernel is a tenth of the image's side wide.",
              probability);
  options.add("blur_sigma", views.blur_sigma, "[smallest, largest] standard deviation of that blur, in pixels.",
              in_range(0.01, 100.0));
}

void check(const ViewOptions& views) {
  const auto ascending_pair = [](const char* key, const std::vector<double>& values, const char* example) {
    if (values.size() == 2 && values[0] <= values[1]) return;
    std::vector<std::string> texts;
    for (const double value : values) texts.push_back(number_text(value));
    throw Error(ExitCode::usage,
                concat("views.", key, " = [", join(texts, ", "), "]: meant are two values, the smaller first"),
                concat("for example views.", key, "=", example));
  };
  ascending_pair("crop_area", views.crop_area, "[0.2,1]");
  ascending_pair("crop_ratio", views.crop_ratio, "[0.75,1.3333]");
  ascending_pair("blur_sigma", views.blur_sigma, "[0.1,2]");
}

}  // namespace vmae::data
