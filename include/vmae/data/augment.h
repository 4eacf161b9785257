#pragma once
// Random changes of a training sample, the same for image and mask. What a sample gets is a pure function of
// (options, seed, epoch, index). Geometry works on the grid of the network, after data.resize: quarter turn
// and mirror or else a free rotation, then the affine, then enlarge and crop, then flips. Intensity works on
// [0, 1] values, after geometry and before data.mean and data.std: brightness, contrast, gamma, minmax.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmae/core/options.h"
#include "vmae/core/random.h"
#include "vmae/data/warp.h"

namespace vmae::data {

// The defaults are pretraining's.
struct AugmentOptions {
  double flip_horizontal = 0.5, flip_vertical = 0.0;  // probabilities
  // probability of 0 to 3 quarter turns followed by a mirror, left-right or top-bottom
  double rot90 = 0.0;
  double rotate = 0.0;                         // probability of a free rotation, for those that rot90 left alone
  double rotate_degrees = 20.0;                // at most, to both sides
  bool rotate_whole = false;                   // whole numbers of degrees, from -rotate_degrees to rotate_degrees - 1
  double affine = 0.0;                         // probability
  double affine_degrees = 20.0;                // at most, to both sides
  double affine_shift = 0.1;                   // of the image's width and height, at most, to all sides
  std::vector<double> affine_scale{0.9, 1.1};  // [smallest, largest]
  double affine_shear_degrees = 10.0;          // along x, at most, to both sides
  std::string interpolation = "linear";        // of images that are turned, moved or enlarged; or nearest, as of masks
  double enlarge = 1.0;                        // factor, then a random crop of the network's size
  double brightness = 0.0;                     // added, at most, to both sides
  double contrast = 0.0;                       // factor 1 - c to 1 + c of the distance to the image's mean
  // exponent 1 / (1 + g) to 1 + g, on values between the image's extremes
  double gamma = 0.0;
  bool minmax = false;  // the image's extremes become 0 and 1; no chance: always
  // where data.resize = none cuts; else in the centre. No key: training does, evaluation does not
  bool random_crop = true;
  // of views.crop_area and crop_ratio, whose keys these are: a part of the image in place of data.resize; empty: none
  std::vector<double> crop_area{}, crop_ratio{};
};
void describe(Options& options, AugmentOptions& augment);
void check(const AugmentOptions& augment);  // throws Error(usage) naming the key

AugmentOptions pretraining_augmentation();     // flip
AugmentOptions segmentation_augmentation();    // .5 rot90, else .5 rotation; .5 affine; minmax
AugmentOptions classification_augmentation();  // flip, rotation, affine (not turned again), 1.1 x enlarged and cropped

// What is left of `options` without chance: minmax. For validation and prediction.
AugmentOptions evaluation_augmentation(const AugmentOptions& options);

struct Flips {
  bool horizontal = false, vertical = false;
};

// A part of an image, in its pixels.
struct Part {
  int64_t row = 0, column = 0;
  PixelSize size;
};

// What one sample gets; the default changes nothing.
struct Augmentation {
  std::optional<Part> part;  // stretched to the network's grid, by cubic interpolation where nothing is warped
  Flips flips;               // where is_warped, these are part of `warp` already
  bool is_warped = false;
  Affine warp;                               // from the network's grid to itself
  bool is_nearest = false;                   // of the image as it lies on the grid, not between its pixels
  double crop_row = 0.5, crop_column = 0.5;  // with data.resize = none: how far down and right the part begins, 0 to 1
  float brightness = 0.0F, contrast = 1.0F, gamma = 1.0F;
  bool minmax = false;
  bool changes_values() const { return brightness != 0.0F || contrast != 1.0F || gamma != 1.0F || minmax; }
};

// grid: of the network; image: the slice as it is stored
Augmentation draw_augmentation(const AugmentOptions& options, Random random, PixelSize grid, PixelSize image);

// A part of random area and ratio (uniform in its logarithm), wherever it fits; where none of ten
// fits, the middle, as large as the ratio allows (Szegedy et al. 2015, as torchvision draws it).
Part random_part(PixelSize image, const std::vector<double>& area, const std::vector<double>& ratio, Random& random);

// The pieces of a warp: from output to input coordinates of an image of this size, about its centre.
Affine rotation_warp(double degrees, PixelSize size);  // the content turns counter-clockwise as one looks at it
// counter-clockwise; the turned image fills the grid, so a grid that is not square stretches it
Affine quarter_turn_warp(int turns, PixelSize size);
Affine affine_warp(double degrees, double shift_x, double shift_y, double scale, double shear_degrees,
                   PixelSize size);  // shear, scale, turn, then shift (pixels)
Affine mirror_warp(Flips flips, PixelSize size);
// the rectangle of `size` at (row, column) of the enlarged image
Affine crop_warp(PixelSize enlarged, int64_t row, int64_t column, PixelSize size);

}  // namespace vmae::data
