// DICOM: one file as a series of its own, and as a mask (RTSTRUCT, SEG) drawn on the two CT slices of the corpus.
#include "scratch_file.h"
#include "vmae/core/error.h"
#include "vmae/dicom/group.h"
#include "vmae/dicom/kinds.h"
#include "vmae/dicom/masks.h"
#include "vmae/dicom/volume.h"
#include "vmae/image/image.h"

namespace {

namespace fs = std::filesystem;
using vmae::Error;
using namespace vmae::io;

struct Slices {
  std::vector<fs::path> files;
  Volume volume;
  Slices() {
    const fs::path folder = fs::path(VMAE_FUZZ_CORPUS) / "dicom";
    files = {folder / "seed-ct-0.dcm", folder / "seed-ct-1.dcm"};
    volume = read_dicom(files);
  }
};

void read_mask(const fs::path& path) {
  static const Slices slices;
  try {
    const DicomLabels labels = read_dicom_mask(path, slices.files, slices.volume);
    if (labels.map.size() != static_cast<size_t>(slices.volume.num_values())) std::abort();
  } catch (const Error&) {
  }
}

void read_image(const std::vector<fs::path>& files) {
  try {
    const Volume volume = read_dicom(files);
    if (volume.stored.size() != static_cast<size_t>(volume.num_values()) * size_of(volume.type)) std::abort();
    if (volume.scaling.size() != 1 && volume.scaling.size() != static_cast<size_t>(volume.size[2])) std::abort();
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const vmae::test::ScratchFile file("input.dcm", vmae::test::text_of(data, size));
  if (!is_dicom(file.path())) return 0;
  const DicomTree tree = group_dicom({file.path()});
  for (const DicomSeries& series : tree.series) read_image(series.files);
  if (tree.series.empty()) read_image({file.path()});
  if (!tree.masks.empty()) read_mask(file.path());
  return 0;
}
