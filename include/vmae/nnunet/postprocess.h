#pragma once
// nnU-Net's postprocessing (of version 2.8.1): in label maps the largest connected component of some labels stays,
// where that made the predictions of a cross-validation better. Decided as its determine_postprocessing does.
#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "vmae/nnunet/labels.h"

namespace vmae::nnunet {

// Of the voxels that have any of these labels, all but the largest connected component (image/components.h; several
// that are equally large stay all) become background.
struct PostprocessingStep {
  std::vector<int64_t> labels;
  bool operator==(const PostprocessingStep&) const = default;
};

// One step after the other; none: nothing changes.
struct Postprocessing {
  std::vector<PostprocessingStep> steps;
  bool operator==(const Postprocessing&) const = default;
};

// labels: size[0] x size[1] x size[2], x fastest; a picture has size[2] = 1.
void apply(const Postprocessing& postprocessing, std::span<uint8_t> labels, const std::array<int64_t, 3>& size);

// Both x fastest.
struct LabelledCase {
  std::array<int64_t, 3> size{};
  std::vector<uint8_t> predicted, reference;
};

// As summary.json has them: of each class or region the mean over the cases in which prediction or reference
// has any of it, NaN where none has; and the mean over classes or regions, NaN where one of them is.
struct MeanDice {
  double mean = 0;
  std::vector<double> by_entry;  // of Labels::foreground
};

struct FoundPostprocessing {
  Postprocessing postprocessing;
  MeanDice before, after;
  std::vector<std::string> report;  // for people: a line for every step that was tried, and what it all came to
};

// The labels of all classes together are tried first: taken where the mean Dice rises and that of no class falls. Then,
// of several classes or regions, one after the other, on top of what was taken before: where its own Dice rises.
// Voxels of kIgnoredLabel in a reference count nowhere, if `labels` has them, but connect. load: every case once, on
// several threads; what stays in memory of a case is small where its label maps are smooth (18 bytes for each run of
// voxels along x that has one label). Cases are in the order of nnU-Net's files, to be equal to the last bit.
FoundPostprocessing find_postprocessing(int64_t num_cases, const std::function<LabelledCase(int64_t)>& load,
                                        const Labels& labels);

// postprocessing.json: "steps": [{"labels": [1, 2]}, ...], and the Dice before and after, by the names of `labels`.
void write_postprocessing(const std::filesystem::path& file, const FoundPostprocessing& found, const Labels& labels);
// Also the file of that name that nnU-Net itself writes. Throws Error(data) naming file and key.
Postprocessing read_postprocessing(const std::filesystem::path& file);
// postprocessing.pkl, for nnUNetv2_apply_postprocessing.
void write_nnunet_postprocessing(const std::filesystem::path& file, const Postprocessing& postprocessing);

}  // namespace vmae::nnunet
