#pragma once
// A list of 2D samples over files: pictures, and volumes read as slices. Sample `index` is a pure function of (options, seed, epoch, index).
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "vmae/core/options.h"
#include "vmae/data/quarantine.h"
#include "vmae/io/image.h"
#include "vmae/io/source.h"

namespace vmae::data {

// How pixels become network input; shared by training, validation and `predict`.
struct ImageOptions {
  std::vector<int64_t> image_size{224, 224};  // [H, W], taken from model.image_size
  int64_t in_channels = 3;                    // taken from model.in_channels; grey is repeated, colour becomes luminance for 1 channel
  std::string intensity = "auto";             // how values become [0, 1]
  std::vector<double> window;                 // [low, high] in the file's units, for intensity = window
  std::vector<double> percentiles{0.5, 99.5};
  std::vector<double> mean{0.223}, std{0.202};  // after [0, 1]; one value, or one per channel (method.md: reference code)
  std::string resize = "stretch";               // stretch | pad (keep the aspect, zero border) | crop (keep the aspect, cut the centre)
  std::string slice_axis = "auto";              // auto | x | y | z
};
void describe(Options& options, ImageOptions& image);  // not image_size and in_channels: they belong to the model

struct AugmentOptions {
  double flip_horizontal = 0.5;  // probability
  double flip_vertical = 0.0;
};
void describe(Options& options, AugmentOptions& augment);

struct Sample {
  at::Tensor image;  // (C, H, W) float32, normalised
  std::string id;    // "folder/file.nii.gz#z17" or "folder/file.png"; no absolute path
  uint64_t seed;     // derive_seed(run seed, epoch, index): for masks and drop path of this sample
};

struct Item {
  size_t file;    // into files()
  int axis;       // 0 x, 1 y, 2 z; -1 for a picture
  int64_t slice;  // along axis; 0 for a picture
};

class VolumeCache;  // src/data/volume_cache.h

class Dataset {
 public:
  // Reads the headers of volumes (in parallel) to count slices; files whose header can't be read are quarantined.
  // Throws Error(data) if nothing readable is left or more than max_bad_fraction of the files is bad.
  Dataset(std::vector<io::SourceFile> files, ImageOptions image, std::shared_ptr<Quarantine> quarantine);

  int64_t size() const { return static_cast<int64_t>(items_.size()); }
  const std::vector<io::SourceFile>& files() const { return files_; }
  const std::vector<Item>& items() const { return items_; }
  std::string id(int64_t index) const;

  // Thread-safe. augment == nullptr: none (validation). Throws Error(data) if the file can't be read or holds a non-finite value; it then holds for all slices
  // of the file and as long as the dataset lives, so that what is readable does not depend on the order of loading.
  Sample load(int64_t index, uint64_t seed, int64_t epoch, const AugmentOptions* augment) const;

  // load() into memory of the caller: (C, H, W) float32. Calls nothing of torch, so worker threads may use it without touching torch's thread settings.
  void load_into(int64_t index, uint64_t seed, int64_t epoch, const AugmentOptions* augment, float* image) const;

  // load_into() that quarantines unreadable files. Returns the index that was loaded: `index`, or the next readable one in dataset order (after the last comes
  // the first). Throws Error(data) when the quarantine's limit is passed or nothing is readable.
  int64_t load_readable_into(int64_t index, uint64_t seed, int64_t epoch, const AugmentOptions* augment, float* image) const;

  const ImageOptions& image_options() const { return image_; }
  static uint64_t sample_seed(uint64_t seed, int64_t epoch, int64_t index);  // Sample::seed

 private:
  std::vector<io::SourceFile> files_;
  std::vector<Item> items_;
  ImageOptions image_;
  std::shared_ptr<Quarantine> quarantine_;
  std::shared_ptr<VolumeCache> cache_;  // shared by the worker threads
};

}  // namespace vmae::data
