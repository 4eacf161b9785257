#include "vmae/runs/case_voxels.h"

#include <algorithm>

#include "vmae/cases/channels.h"
#include "vmae/cases/mask_numbering.h"
#include "vmae/cases/read_image.h"
#include "vmae/core/log_once.h"
#include "vmae/prepared/mask.h"
#include "vmae/volume/volume.h"
#include "vmae/volume/volume_file.h"

namespace vmae::run {
namespace {

// nnU-Net's distance of slices where there is one without depth, in the largest side of its pixels.
constexpr double kFlatDepth = 999;

bool has_depth(const io::SourceFile& file, const io::Volume& volume) {
  if (volume.size[2] > 1) return true;
  return file.series.empty() && io::is_volume(file.path) && io::VolumeFile(file.path).num_axes() > 2;
}

}  // namespace

nnunet::CaseVoxels voxels_of(CaseImages images, const std::string& name) {
  const io::Volume& first = images.volumes.front();
  nnunet::CaseVoxels voxels;
  voxels.name = name;
  voxels.shape = {first.size[2], first.size[1], first.size[0]};
  voxels.spacing = {first.spacing_mm[2], first.spacing_mm[1], first.spacing_mm[0]};
  if (images.is_flat) voxels.spacing[0] = kFlatDepth * std::max(voxels.spacing[1], voxels.spacing[2]);
  for (io::Volume& volume : images.volumes) {
    std::vector<float> values = io::values(volume);
    volume.stored = std::vector<std::byte>();
    if (volume.channels == 1) {
      voxels.channels.push_back(std::move(values));
      continue;
    }
    const auto count = static_cast<size_t>(volume.channels);
    for (size_t channel = 0; channel < count; ++channel) {
      std::vector<float>& one = voxels.channels.emplace_back();
      one.reserve(values.size() / count);
      for (size_t i = channel; i < values.size(); i += count) one.push_back(values[i]);
    }
  }
  voxels.labels = std::move(images.labels);
  return voxels;
}

CaseReader::CaseReader(const std::vector<io::SourceFile>& cases) {
  if (cases.empty() || cases.front().prepared_case < 0) return;
  prepared_.emplace(cases.front().path);
  if (prepared_->info().intensity != "native")
    log::warning_once(cases.front().path.string(),
                      "was prepared with intensities in [0, 1], and nnU-Net's rules are made for those of the files: "
                      "prepare it with prepare.intensity=native");
}

CaseReader::CaseReader(const std::vector<io::SourceFile>& cases, const std::vector<std::string>& mask_names)
    : CaseReader(cases) {
  if (prepared_) return;
  io::check_numbering(cases, mask_names);
  structures_ = io::structure_names(cases, mask_names);
}

CaseImages CaseReader::read(const io::SourceFile& file, bool with_labels) const {
  if (prepared_) return read_prepared(file, with_labels);
  CaseImages images;
  images.volumes = file.channels.empty() ? std::vector{io::read_image(file)} : io::read_channels(file);
  if (with_labels) images.labels = io::read_mask(file, images.volumes.front(), structures_);
  images.is_flat = !has_depth(file, images.volumes.front());
  return images;
}

CaseImages CaseReader::read_prepared(const io::SourceFile& file, bool with_labels) const {
  CaseImages images;
  images.volumes.push_back(io::read_prepared_case(*prepared_, file.prepared_case));
  for (const io::SourceFile& channel : file.channels)
    images.volumes.push_back(io::read_prepared_case(*prepared_, channel.prepared_case));
  if (with_labels && io::has_mask(*prepared_, prepared_->read_case(file.prepared_case)))
    images.labels = io::read_prepared_mask(*prepared_, file.prepared_case).labels;
  images.is_flat = images.volumes.front().size[2] == 1 && images.volumes.front().spacing_mm[2] == 1;
  return images;
}

}  // namespace vmae::run
