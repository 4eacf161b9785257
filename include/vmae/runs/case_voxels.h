#pragma once
// Cases as nnU-Net sees them: all channels in their own units, with their mask. What planning, training and prediction
// read alike.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"
#include "vmae/image/image.h"
#include "vmae/nnunet/fingerprint.h"
#include "vmae/prepared/prepared.h"

namespace vmae::run {

// A case as it is read: its channels and its mask.
struct CaseImages {
  std::vector<io::Volume> volumes;  // of one colour picture one
  std::vector<uint8_t> labels;      // as the mask's file has them; empty: none, or not read
  bool is_flat = false;             // one slice, of which no file says how thick it is
};

// Releases each volume once it has its values. name: for messages.
nnunet::CaseVoxels voxels_of(CaseImages images, const std::string& name);

// Reads cases of one source, on any thread.
class CaseReader {
 public:
  // With masks. mask_names: as io::Source. Throws Error(data) naming masks that contradict each other.
  CaseReader(const std::vector<io::SourceFile>& cases, const std::vector<std::string>& mask_names);
  // Their images alone: no mask is opened.
  explicit CaseReader(const std::vector<io::SourceFile>& cases);

  const std::vector<std::string>& structures() const { return structures_; }  // that masks name (mask_numbering.h)

  // Cases without a mask have no labels. Throws Error(data) naming the file, as io::read_image() and read_mask() do.
  CaseImages read(const io::SourceFile& file, bool with_labels) const;
  nnunet::CaseVoxels voxels(const io::SourceFile& file, const std::string& name, bool with_labels) const {
    return voxels_of(read(file, with_labels), name);
  }

 private:
  CaseImages read_prepared(const io::SourceFile& file, bool with_labels) const;

  std::optional<io::PreparedDataset> prepared_;
  std::vector<std::string> structures_;
};

}  // namespace vmae::run
