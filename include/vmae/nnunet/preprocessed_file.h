#pragma once
// Preprocessed cases on disk, for training: where each class lies in one, drawn as nnU-Net draws it, and a file whose
// voxels are mapped into memory.
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vmae/nnunet/labels.h"
#include "vmae/nnunet/preprocess.h"

namespace vmae::nnunet {

using Voxel = std::array<int32_t, 3>;  // slice, row, column
// A list per entry of Labels::foreground; with an ignore label one more, of all voxels that are annotated.
using Locations = std::vector<std::vector<Voxel>>;

// Of each list 10,000 voxels or a hundredth, whichever is more, or all there are: those that nnU-Net's
// _sample_foreground_locations draws, in its order. A case of fewer than 2^32 voxels.
Locations sample_locations(const PreprocessedCase& made, const Labels& labels);

// Atomically. key: what the case was made of, so that it is made anew where that is another.
void write_preprocessed(const std::filesystem::path& file, const PreprocessedCase& made, const Locations& locations,
                        const std::string& key);

// May be read from several threads. Pages come from the disk as they are read, and the system keeps those that it has
// memory for; the file must stay as it is meanwhile.
class PreprocessedFile {
 public:
  // Throws Error(data) naming the file: can't be read, is no such file or of another version, another size than it
  // says, a header or locations that are damaged. Voxels are not checked: they are not read here.
  explicit PreprocessedFile(const std::filesystem::path& file);

  const std::array<int64_t, 3>& shape() const { return facts_.shape; }  // slices, rows, columns
  int64_t num_channels() const { return num_channels_; }
  const float* channel(int64_t number) const;
  const int16_t* labels() const { return labels_; }  // -1: outside of what is not zero; kIgnoredLabel
  const std::vector<std::span<const Voxel>>& locations() const { return locations_; }  // as Locations
  const std::string& key() const { return key_; }
  const PreprocessedCase& facts() const { return facts_; }  // all but channels and labels: shape and the way back

 private:
  std::shared_ptr<const std::byte> bytes_;  // mapped until nobody has them
  PreprocessedCase facts_;
  int64_t num_channels_ = 0;
  const float* channels_ = nullptr;
  const int16_t* labels_ = nullptr;
  std::vector<std::span<const Voxel>> locations_;
  std::string key_;
};

}  // namespace vmae::nnunet
