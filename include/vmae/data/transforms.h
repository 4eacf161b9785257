#pragma once
// From the pixels of a slice to network input: intensity to [0, 1] -> channels ->
// resize -> augmentation -> normalise. No randomness here: the caller has drawn it.
#include <cstddef>
#include <cstdint>

#include "vmae/data/augment.h"
#include "vmae/data/image_options.h"
#include "vmae/data/intensity.h"
#include "vmae/image/image.h"

namespace vmae::data {

// One 2D image as it is stored, on memory of someone else.
struct Slice {
  int64_t height = 0, width = 0, channels = 0;
  io::StoredType type = io::StoredType::f32;
  const void* pixels = nullptr;   // height * width * channels values of `type`, channel fastest
  io::Scaling scaling;            // to units
  IntensityRange range;           // in units
  const uint8_t* mask = nullptr;  // height * width labels; nullptr: none, which is all background
};

// Where a sample is written to; nullptr: not wanted.
struct SampleBuffers {
  float* image;                  // (in_channels, H, W)
  uint8_t* mask = nullptr;       // (H, W)
  float* labels = nullptr;       // (L)
  float* second_view = nullptr;  // as image: the same sample, changed by other random numbers
};

// Its values by its range, in [0, 1] where that clamps: height * width * channels numbers.
void to_unit(const Slice& slice, float* to);

// Writes buffers.image and, if wanted, buffers.mask. Geometry is the same for both: bilinear for the image
// (by area where it shrinks), nearest for the mask; outside of the image lie 0 before normalisation
// (black; the mean under zscore) and label 0. Thread-safe; allocates nothing once a thread has seen its
// largest slice, unless the slice has to be resized by area. Throws Error(data) if the channels don't fit.
void to_input(const Slice& slice, const ImageOptions& options, const Augmentation& augmentation,
              const SampleBuffers& buffers);

// The same for a picture in memory, without augmentation other than flips.
void to_input(const io::Image& image, const IntensityRange& range, const ImageOptions& options, Flips flips,
              float* output);

}  // namespace vmae::data
