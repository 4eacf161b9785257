#pragma once
// What nnU-Net 2.8.1 wants to know of a dataset before it plans: dataset_fingerprint.json, equal to its own.
// Axes are in NumPy's order, z, y, x: a Volume's (image.h) from last to first. The voxels lie in the same order.
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace vmae::nnunet {

// Of the foreground voxels that were drawn from all cases.
struct Intensities {
  double max = 0, mean = 0, median = 0, min = 0, percentile_00_5 = 0, percentile_99_5 = 0, std = 0;
};

struct Fingerprint {
  std::vector<std::array<double, 3>> spacings;            // per case
  std::vector<std::array<int64_t, 3>> shapes_after_crop;  // per case
  std::vector<Intensities> channels;
  double median_relative_size_after_cropping = 1;
};

// nnU-Net draws so many foreground voxels, with replacement, each case its equal share.
constexpr int64_t kForegroundVoxels = 100'000'000;

struct CaseVoxels {
  std::string name;  // for messages
  std::array<int64_t, 3> shape{};
  std::array<double, 3> spacing{1, 1, 1};
  std::vector<std::vector<float>> channels;
  std::vector<uint8_t> labels;  // foreground is what is above 0, an ignored value too
};

void require_finite(const CaseVoxels& voxels);  // throws Error(data) naming the case: NaN or infinite values

// What the fingerprint keeps of a case.
struct CaseFacts {
  std::array<int64_t, 3> shape_after_crop{};
  std::array<double, 3> spacing{1, 1, 1};
  double relative_size_after_cropping = 1;
  int64_t num_foreground = 0;               // voxels, after the crop
  std::vector<std::vector<float>> samples;  // of each channel; without foreground empty
};

// The half-open box around voxels of which any channel is not 0; the whole image where there are none.
struct Box {
  std::array<int64_t, 3> begin{}, end{};
};
Box nonzero_box(const CaseVoxels& voxels);

// num_samples: kForegroundVoxels / number of cases. Throws Error(data) naming the case: NaN or infinite values.
CaseFacts facts_of(const CaseVoxels& voxels, int64_t num_samples);

// Cases in nnU-Net's order, that of their names. Takes their samples. Throws Error(data): no case has any foreground;
// cases with different numbers of channels, naming the place of one in that order.
Fingerprint fingerprint_of(std::vector<CaseFacts> cases);

// Throws Error(data) naming file and key.
Fingerprint read_fingerprint(const std::filesystem::path& file);
void write_fingerprint(const std::filesystem::path& file, const Fingerprint& fingerprint);

}  // namespace vmae::nnunet
