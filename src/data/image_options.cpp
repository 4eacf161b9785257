// What the configuration says about images.
#include "vmae/data/image_options.h"

namespace vmae::data {

void describe(Options& options, ImageOptions& image) {
  options.add("intensity", image.intensity,
              "How values become [0, 1]. auto: by modality where it is known (CT in HU: window; MR: percentile; PET in "
              "SUV: 0 to data.suv_max), "
              "else stored for 8 and 16 bit pictures, percentile for volumes and float pictures. "
              "stored: divided by the largest value of the stored type (X-ray, ultrasound, photographs). "
              "percentile: between data.percentiles of the whole volume (MR, PET). window: between the two values of "
              "data.window (CT). "
              "minmax: between the extremes of each slice. zscore: minus the mean, divided by the standard deviation "
              "of the whole volume, not clamped; "
              "set data.mean to 0 and data.std to 1 with it.",
              one_of({"auto", "stored", "minmax", "percentile", "window", "zscore"}));
  options.add(
      "modality", image.modality,
      "What images are whose files do not say it: CT, MR, PT (PET), US, DX (XR), ... DICOM says it itself, as "
      "do a manifest's column modality and "
      "channel_names in dataset.json. intensity = auto goes by it, and so does nnU-Net's plan where channels have no "
      "names; volumes of CT are in Hounsfield units then. "
      "Empty: nothing is known of them; but "
      "where the values of volumes look like Hounsfield units under intensity = auto, they are taken as CT, "
      "with a warning.");
  options.add("window", image.window,
              "For intensity = window, and for CT under auto: [low, high] in the units of the file (CT: Hounsfield "
              "units). Values outside are clamped. "
              "Empty: CT under auto gets [-160, 240] (soft tissue).");
  options.add("percentiles", image.percentiles,
              "For intensity = percentile: [low, high] in percent. Values outside are clamped, which keeps a few very "
              "bright voxels from darkening all others.",
              in_range(0.0, 100.0));
  options.add("suv_max", image.suv_max,
              "For PET in SUV under intensity = auto: 0 to suv_max (g/ml) become 0 to 1. Values outside are clamped.",
              above(0.0));
  options.add("mean", image.mean,
              "Subtracted after intensities are in [0, 1]: one value, or one per channel. The default is the reference "
              "code's.");
  options.add(
      "std", image.std,
      "Divided by after the mean is subtracted: one value, or one per channel. The default is the reference code's.",
      above(0.0));
  options.add("resize", image.resize,
              "How an image is brought to model.image_size. stretch: both sides on their own, as the reference code. "
              "pad: the aspect in pixels is kept, the rest is filled with 0 (black). crop: the aspect is kept, what "
              "overhangs the centre is cut off. "
              "none: pixels are kept; of larger images training takes a random part, validation the centre, and `vmae "
              "predict` all of it, tile by tile; "
              "smaller ones are filled up with 0.",
              one_of({"stretch", "pad", "crop", "none"}));
  options.add("slice_axis", image.slice_axis,
              "The axis that slices of a volume are perpendicular to, in the order of the file. "
              "auto: the one with the largest voxel spacing in most volumes of the dataset, the same for all of them "
              "(the log says which; 2D images have their own). "
              "Fine-tuned models remember it.",
              one_of({"auto", "x", "y", "z"}));
}

}  // namespace vmae::data
