#pragma once
// A folder of small pictures and volumes, whole and broken, as the loader tests need it.
#include <cmath>
#include <memory>

#include "support/images.h"
#include "support/temp_folder.h"
#include "vmae/core/log.h"
#include "vmae/data/dataset.h"
#include "vmae/image/picture.h"
#include "vmae/sources/source.h"

namespace vmae::data {

inline std::string png(int value) {
  io::Image image{4, 6, 1, std::vector<float>(24), 255};
  for (size_t i = 0; i < 24; ++i) image.pixels[i] = static_cast<float>((static_cast<size_t>(value) * 7 + i) % 256);
  return io::encode_png(image);
}

inline ImageOptions small_images() {
  ImageOptions options;
  options.image_size = {8, 8};
  options.in_channels = 1;
  return options;
}

// 11 pictures and two volumes of 5 and 3 slices: 19 samples, all readable.
inline void write_good_files(const test::TempFolder& folder) {
  for (int i = 0; i < 11; ++i) folder.write("p" + std::to_string(100 + i) + ".png", png(i));
  folder.write("v1.nii", test::nifti<int16_t>({6, 4, 5}, test::ramp<int16_t>(120), {.spacing_mm = {1, 1, 4}}));
  folder.write("v2.nii", test::nifti<float>({6, 4, 3}, test::ramp<float>(72), {.spacing_mm = {1, 1, 4}}));
}
constexpr int64_t kGoodSamples = 19;

// Broken in many ways, named so that they lie between the good ones. Those with `header`
// fail when the dataset is made, the others when they are read. Gives their number.
inline int64_t write_broken_files(const test::TempFolder& folder) {
  const std::string whole = png(1), zipped = test::slurp(test::hippocampus() / "images/hippocampus_001.nii.gz");
  folder.write("p100b.png", whole.substr(0, whole.size() - 20));
  folder.write("p103b.jpg", "\xFF\xD8\xFF\xE0 and no more");
  folder.write("p105b.png", "");
  folder.write("p105c.tif", "Once upon a time");
  folder.write("p107b.bmp", test::nifti<uint8_t>({2, 2, 2}, test::ramp<uint8_t>(8)));
  std::filesystem::create_directory(folder / "p107c.png");
  std::filesystem::create_symlink("nowhere", folder / "p108b.png");
  folder.write("u_header.nii.gz", "text");
  folder.write("v1b.nii.gz", zipped.substr(0, zipped.size() / 2));
  folder.write("v1c_header.nii", "");
  folder.write("v2b.nii", test::nifti<float>({2, 2, 2}, {0, 1, 2, std::nanf(""), 4, 5, 6, 7}));
  folder.write("w.nii", test::nifti<int16_t>({4, 4, 3}, test::ramp<int16_t>(40)));
  return 11;  // the directory is no file
}

inline std::shared_ptr<const Dataset> make_dataset(const test::TempFolder& folder,
                                                   std::shared_ptr<Quarantine> quarantine) {
  log::set_level(log::Level::error);  // the warnings about broken files are meant
  return std::make_shared<const Dataset>(io::list_source(folder.path()), small_images(), std::move(quarantine));
}

}  // namespace vmae::data
