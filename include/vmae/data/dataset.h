#pragma once
// A list of 2D samples from one or several sources. Sample `index` is a pure function of
// (options, seed, epoch, index, repeat). repeat: 0 where the sample comes for the first time
// in an epoch; every further time, and every time it stands in for an unreadable one, has a
// number of its own, and with it its own random numbers: augmentation, mask, drop path.
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "vmae/core/error.h"
#include "vmae/data/augment.h"
#include "vmae/data/image_options.h"
#include "vmae/data/quarantine.h"
#include "vmae/data/sample_source.h"

namespace vmae::data {

struct Sample {
  at::Tensor image;   // (C, H, W) float32, normalised
  at::Tensor mask;    // (H, W) uint8; undefined where the task needs none
  at::Tensor labels;  // (L) float32, likewise
  std::string id;     // "folder/file.nii.gz#z17" or "folder/file.png"; no absolute path
  uint64_t seed = 0;  // sample_seed(): for masks and drop path of this sample
};

// What stands at a place of an epoch.
struct Loaded {
  int64_t index;
  uint64_t repeat;  // for sample_seed()
};

class Dataset {
 public:
  // Sources follow each other in this order. Throws Error(data) if nothing
  // readable is left or more than max_bad_fraction of the files is bad.
  Dataset(std::vector<std::unique_ptr<SampleSource>> sources, ImageOptions image,
          std::shared_ptr<Quarantine> quarantine, Targets targets = {});

  // Each list becomes a source (open_source()).
  Dataset(std::vector<std::vector<io::SourceFile>> sources, const ImageOptions& image,
          std::shared_ptr<Quarantine> quarantine, const Targets& targets = {});
  Dataset(std::vector<io::SourceFile> files, const ImageOptions& image, std::shared_ptr<Quarantine> quarantine,
          const Targets& targets = {});
  virtual ~Dataset() = default;

  int64_t size() const { return offsets_.back(); }
  std::vector<int64_t> source_sizes() const;
  std::string id(int64_t index) const;
  std::vector<io::CommonAxis> common_axes() const;  // of each source: what data.slice_axis = auto came to
  // equal for the slices of one case, and for no others; increases with the source
  int64_t case_number(int64_t index) const;
  std::string case_name(int64_t index) const;
  // of the names of all files (prepared: and the contents), in their order: changes when files come or go
  uint32_t checksum() const;

  // Thread-safe. augment == nullptr: none. Throws Error(data) if the file can't be read
  // or holds a non-finite value; it then holds for all slices of the file and as long as
  // the dataset lives, so that what is readable does not depend on the order of loading.
  Sample load(int64_t index, uint64_t seed, int64_t epoch, const AugmentOptions* augment) const;

  // Masks hold classes instead of their files' numbers from now
  // on (io::LabelMeaning::class_of). Before anything is loaded.
  void set_classes(const std::array<uint8_t, 256>& class_of) { class_of_ = class_of; }

  // before anything is loaded
  void set_image_size(const std::vector<int64_t>& image_size) { image_.image_size = image_size; }

  // The sample as it is stored, with its mask if that is wanted.
  // Thread-safe with a buffer per thread; throws as load().
  Slice read(int64_t index, bool with_mask, SliceBuffer& buffer) const;
  // Its labels, Targets::num_labels values, NaN where unknown.
  const float* labels(int64_t index) const;
  Quarantine& bad_files() const { return *quarantine_; }
  const std::shared_ptr<Quarantine>& shared_bad_files() const { return quarantine_; }
  // Lists the file of a sample that could not be used. Throws Error(data) when the quarantine's limit is passed.
  void quarantine(int64_t index, const std::string& reason, int64_t epoch = -1) const;

  // load() into memory of the caller; mask and labels where they are wanted. Calls nothing of torch,
  // so worker threads may use it without touching torch's thread settings, and from a prepared
  // dataset allocates nothing after a thread's first samples (to_input() names the exception).
  void load_into(int64_t index, uint64_t seed, int64_t epoch, const AugmentOptions* augment,
                 const SampleBuffers& buffers, uint64_t repeat = 0) const;

  // load_into() that quarantines unreadable files and passes over what the quarantine leaves out. Loads
  // `index`, or the next readable one in dataset order (after the last comes the first). occurrence: how
  // often `index` came before in this epoch. What comes back is a function of the arguments and of which
  // files are readable. Throws Error(data) when the quarantine's limit is passed or nothing is readable.
  // A dataset that draws its samples itself (LoaderOptions::is_drawn) takes `index` for the place in the epoch.
  virtual Loaded load_readable_into(int64_t index, uint64_t seed, int64_t epoch, const AugmentOptions* augment,
                                    const SampleBuffers& buffers, int64_t occurrence = 0) const;

  const ImageOptions& image_options() const { return image_; }
  const Targets& targets() const { return targets_; }
  static uint64_t sample_seed(uint64_t seed, int64_t epoch, int64_t index, uint64_t repeat = 0);  // Sample::seed

 private:
  struct Place {
    const SampleSource& source;
    int64_t index;  // in the source
  };
  Place place(int64_t index) const;
  Slice read(const Place& at, bool with_mask, SliceBuffer& buffer) const;
  bool is_left_out(int64_t index) const;
  Error nothing_readable() const;

  std::vector<std::unique_ptr<SampleSource>> sources_;
  std::vector<int64_t> offsets_{0};  // where each source begins, and the end
  ImageOptions image_;
  std::shared_ptr<Quarantine> quarantine_;
  Targets targets_;
  std::optional<std::array<uint8_t, 256>> class_of_;  // none: masks hold the numbers of their files
};

}  // namespace vmae::data
