// Cases of several channels: each channel of a sample is what the image gives by itself.
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/images.h"
#include "support/temp_folder.h"
#include "support/tensors.h"
#include "vmae/cases/channels.h"
#include "vmae/core/random.h"
#include "vmae/data/case.h"
#include "vmae/data/dataset.h"

namespace vmae::data {
namespace {

namespace fs = std::filesystem;

// Two volumes of one size, in their own types and ranges; the third is constant.
io::SourceFile three_channels(const test::TempFolder& folder) {
  const std::vector<int16_t> size{9, 7, 5};
  Random random(7);
  std::vector<int16_t> ct(9 * 7 * 5);
  std::vector<float> mr(ct.size());
  for (size_t i = 0; i < ct.size(); ++i) {
    ct[i] = static_cast<int16_t>(-1000 + static_cast<int>(random.uniform() * 2000));
    mr[i] = static_cast<float>(random.uniform() * 77);
  }
  const auto write = [&](const char* name, const std::string& bytes) {
    folder.write(name, bytes);
    return folder / name;
  };
  io::SourceFile file{write("a_0000.nii", test::nifti<int16_t>(size, ct)), "a_0000.nii", "a", ""};
  file.modality = "CT";
  file.channels = {{write("a_0001.nii", test::nifti<float>(size, mr)), "a_0001.nii"},
                   {write("a_0002.nii", test::nifti<uint8_t>(size, std::vector<uint8_t>(ct.size(), 3))), "a_0002.nii"}};
  file.channels[0].modality = "MR";
  return file;
}

ImageOptions options_of(int64_t in_channels) {
  ImageOptions options;
  options.image_size = {8, 12};
  options.in_channels = in_channels;
  return options;
}

Dataset dataset_of(const io::SourceFile& file, const ImageOptions& options) {
  return {std::vector<io::SourceFile>{file}, options, std::make_shared<Quarantine>("", 0.0)};
}

TEST(Channels, AreWhatTheImagesAreByThemselves) {
  const test::TempFolder folder;
  const io::SourceFile file = three_channels(folder);
  for (const char* intensity : {"auto", "minmax", "percentile", "zscore"}) {
    for (const char* axis : {"x", "y", "z"}) {
      for (const char* resize : {"stretch", "none"}) {
        SCOPED_TRACE(concat(intensity, ' ', axis, ' ', resize));
        ImageOptions stacked = options_of(3), single = options_of(1);
        for (ImageOptions* options : {&stacked, &single}) {
          options->intensity = intensity;
          options->slice_axis = axis;
          options->resize = resize;
        }
        const Dataset all = dataset_of(file, stacked);
        for (int64_t channel = 0; channel < 3; ++channel) {
          const Dataset one = dataset_of(io::channel_of(file, channel), single);
          ASSERT_EQ(all.size(), one.size());
          for (int64_t i = 0; i < all.size(); ++i)
            EXPECT_LE(test::max_abs_difference(all.load(i, 0, 0, nullptr).image[channel],
                                               one.load(i, 0, 0, nullptr).image[0]),
                      2e-6);
        }
        const Case whole = read_case(file, stacked);
        EXPECT_EQ(whole.volume.channels, 3);
        EXPECT_EQ("xyz"[whole.axis], axis[0]);
      }
    }
  }
}

TEST(Channels, MeanAndStdAreOfEach) {
  const test::TempFolder folder;
  const io::SourceFile file = three_channels(folder);
  ImageOptions plain = options_of(3), own = options_of(3);
  plain.mean = {0};
  plain.std = {1};
  own.mean = {0.1, 0.2, 0.3};
  own.std = {0.5, 1, 2};
  const at::Tensor a = dataset_of(file, plain).load(2, 0, 0, nullptr).image,
                   b = dataset_of(file, own).load(2, 0, 0, nullptr).image;
  for (int64_t channel = 0; channel < 3; ++channel) {
    const auto at = static_cast<size_t>(channel);
    EXPECT_LE(test::max_abs_difference((a[channel] - own.mean[at]) / own.std[at], b[channel]), 2e-6);
  }
}

TEST(Channels, AFourDimensionalFileHasThemAsVolumes) {
  const test::TempFolder folder;
  const io::SourceFile file = three_channels(folder);
  std::vector<float> joined;
  for (int64_t channel = 0; channel < 3; ++channel) {
    const std::vector<float> values = io::values(read_case(io::channel_of(file, channel), options_of(1)).volume);
    joined.insert(joined.end(), values.begin(), values.end());
  }
  folder.write("a.nii", test::nifti<float>({9, 7, 5, 3}, joined));
  io::SourceFile volumes{folder / "a.nii", "a.nii", "a", ""};
  volumes.modality = "CT";
  for (const int64_t t : {1, 2}) {
    volumes.channels.push_back({folder / "a.nii", concat("a.nii#t", t)});
    volumes.channels.back().time_point = t;
    volumes.channels.back().modality = t == 1 ? "MR" : "";
  }
  const Dataset files = dataset_of(file, options_of(3)), one = dataset_of(volumes, options_of(3));
  ASSERT_EQ(files.size(), one.size());
  for (int64_t i = 0; i < one.size(); ++i)
    EXPECT_LE(test::max_abs_difference(files.load(i, 0, 0, nullptr).image, one.load(i, 0, 0, nullptr).image), 2e-6);
  volumes.channels.pop_back();
  EXPECT_TRUE(test::contains(test::error_of([&] { dataset_of(volumes, options_of(2)); }).what(),
                             "holds 3 volumes where 2 channels are meant"));
}

}  // namespace
}  // namespace vmae::data
