#pragma once
// Where the samples of a dataset come from: files, or a prepared dataset. A sample is one slice or picture.
#include <memory>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"
#include "vmae/data/quarantine.h"
#include "vmae/data/transforms.h"
#include "vmae/image/image.h"

namespace vmae::data {

// What a task learns from besides the image. Pretraining: nothing (contrastive pretraining only measures labels).
struct Targets {
  static constexpr int64_t kAllLabels = -1;    // for who knows the number: as many as the sources have
  static constexpr int64_t kLabelsIfAny = -2;  // the same, or none where the sources contradict each other
  bool mask = false;
  int64_t num_labels = 0;
};

// Holds what a Slice points to until it is read into again; one per thread, so that its memory is reused.
struct SliceBuffer {
  std::vector<std::byte> pixels, mask;
  io::Image image;
  std::shared_ptr<const void> owner;
};

class SampleSource {
 public:
  virtual ~SampleSource() = default;
  virtual int64_t size() const = 0;
  virtual std::string id(int64_t index) const = 0;         // "folder/file.nii.gz#z17"; no absolute path
  virtual std::string file_name(int64_t index) const = 0;  // what is quarantined if the sample can't be read
  // The picture, volume or series that the sample is a slice of: its number
  // in this source, and its name (no absolute path). By default its own.
  virtual int64_t case_number(int64_t index) const { return index; }
  virtual std::string case_name(int64_t index) const { return file_name(index); }
  virtual int64_t num_files() const = 0;  // what a share of bad files refers to

  // Thread-safe. Throws Error(data) naming the file; a sample that failed once fails always.
  virtual Slice read(int64_t index, bool with_mask, SliceBuffer& buffer) const = 0;
  virtual const float* labels(int64_t index) const = 0;  // Targets::num_labels values, NaN where unknown

  // that data.slice_axis = auto came to for its volumes; -1: there was nothing to decide
  virtual io::CommonAxis common_axis() const { return {}; }

  // crc32c of the names (prepared: and the contents), continued from `crc`
  virtual uint32_t checksum(uint32_t crc) const = 0;
};

// Either: files that are cases of a prepared dataset (SourceFile::prepared_case), or files. Not both in one list.
std::unique_ptr<SampleSource> open_source(std::vector<io::SourceFile> files, const ImageOptions& image,
                                          const Targets& targets, Quarantine& quarantine);

}  // namespace vmae::data
