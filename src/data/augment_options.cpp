// Keys and presets of the augmentations.
#include <cmath>

#include "vmae/core/error.h"
#include "vmae/data/augment.h"

namespace vmae::data {

void describe(Options& options, AugmentOptions& augment) {
  const NumberCheck probability = in_range(0.0, 1.0);
  options.add("flip_horizontal", augment.flip_horizontal,
              "Probability of mirroring left and right in training. Set to 0 where the side carries meaning.",
              probability);
  options.add(
      "flip_vertical", augment.flip_vertical,
      "Probability of mirroring top and bottom in training, for images without a natural up, such as skin photographs.",
      probability);
  options.add("rot90", augment.rot90,
              "Probability of 0 to 3 quarter turns followed by a mirror, left-right or top-bottom. Segmentation's "
              "reference uses 0.5.",
              probability);
  options.add("rotate", augment.rotate,
              "Probability of a rotation by up to data.rotate_degrees, for samples that data.rot90 left alone. "
              "Segmentation uses 0.5, classification 1.",
              probability);
  options.add("rotate_degrees", augment.rotate_degrees,
              "Largest angle of data.rotate, to both sides, in degrees. What comes in from outside is 0 (black).",
              in_range(0.0, 180.0));
  options.add("rotate_whole", augment.rotate_whole,
              "Angles of data.rotate are whole numbers, from -rotate_degrees to rotate_degrees - 1, as TransUNet's.");
  options.add(
      "interpolation", augment.interpolation,
      "Between pixels of images that are turned, moved or enlarged: linear, or nearest, as for masks (TransUNet).",
      one_of({"linear", "nearest"}));
  options.add("affine", augment.affine,
              "Probability of turning, shifting, scaling and shearing together, as the four keys below say. "
              "Segmentation uses 0.5.",
              probability);
  options.add("affine_degrees", augment.affine_degrees, "Largest angle of data.affine, to both sides, in degrees.",
              in_range(0.0, 180.0));
  options.add("affine_shift", augment.affine_shift,
              "Largest shift of data.affine, to all sides, as a fraction of width and height.", in_range(0.0, 1.0));
  options.add("affine_scale", augment.affine_scale, "Smallest and largest magnification of data.affine: [low, high].",
              in_range(0.1, 10.0));
  options.add("affine_shear_degrees", augment.affine_shear_degrees,
              "Largest shear of data.affine along the rows, to both sides, in degrees.", in_range(0.0, 80.0));
  options.add("enlarge", augment.enlarge,
              "Factor by which an image is enlarged before a random part of the network's size is cut out. "
              "Classification uses 1.1.",
              in_range(1.0, 4.0));
  options.add("brightness", augment.brightness,
              "At most this is added or taken away, with intensities in [0, 1]. 0: off.", in_range(0.0, 1.0));
  options.add("contrast", augment.contrast,
              "Distances to the image's mean are multiplied by 1 - contrast to 1 + contrast. 0: off.",
              in_range(0.0, 1.0));
  options.add(
      "gamma", augment.gamma,
      "Exponent between 1 / (1 + gamma) and 1 + gamma, applied between the image's smallest and largest value. 0: off.",
      in_range(0.0, 10.0));
  options.add("minmax", augment.minmax,
              "Stretch each image to [0, 1] after augmentation, in validation too; before data.mean and data.std. "
              "Segmentation's reference does so.");
}

void check(const AugmentOptions& augment) {
  if (augment.affine_scale.size() != 2 || augment.affine_scale[0] > augment.affine_scale[1])
    throw Error(ExitCode::usage, "data.affine_scale must be two values, the smaller first, as in [0.9, 1.1]");
  const double most = augment.rotate_degrees;
  if (augment.rotate_whole && (most < 1.0 || most != std::floor(most)))
    throw Error(ExitCode::usage,
                concat("data.rotate_degrees = ", number_text(most),
                       ", but data.rotate_whole needs a whole number of degrees, at least 1"),
                "for example data.rotate_degrees=20");
}

AugmentOptions pretraining_augmentation() { return {}; }

AugmentOptions evaluation_augmentation(const AugmentOptions& options) {
  AugmentOptions none;
  none.flip_horizontal = 0.0;
  none.minmax = options.minmax;
  none.random_crop = false;
  return none;
}

AugmentOptions segmentation_augmentation() {
  AugmentOptions options;
  options.flip_horizontal = 0.0;  // rot90 brings its own
  options.rot90 = 0.5;
  options.rotate = 0.5;
  options.affine = 0.5;
  options.minmax = true;
  return options;
}

AugmentOptions classification_augmentation() {
  AugmentOptions options;
  options.rotate = 1.0;
  options.affine = 1.0;
  options.affine_degrees = 0.0;
  options.enlarge = 1.1;
  return options;
}

}  // namespace vmae::data
