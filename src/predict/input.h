#pragma once
// What `vmae predict` and `vmae features` read alike: cases, what they are called, and their modality.
#include <optional>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"
#include "vmae/core/error.h"
#include "vmae/data/case.h"
#include "vmae/nnunet/preprocess.h"
#include "vmae/predict/model_file.h"

namespace vmae::run {

// As the model learnt them: channels of a case side by side, or each
// image by itself. Cases of another number of channels go to `refused`.
std::vector<io::SourceFile> as_learnt(const std::vector<io::SourceFile>& cases, const ModelCard& card,
                                      std::vector<io::SourceRemark>& refused);

// What is listed as the model's cases: as_learnt(), time points apart, each with the
// modality that it is taken for. channel_names: as io::Source. Throws Error(data)
// where channels are called otherwise than those that the model learnt from.
std::vector<io::SourceFile> cases_for(const ModelCard& card, const std::vector<io::SourceFile>& listed,
                                      const std::vector<std::string>& channel_names,
                                      std::vector<io::SourceRemark>& refused);

struct LoadedCase {
  data::Case one;
  std::optional<nnunet::PreprocessedCase> preprocessed{};  // what an nnU-Net sees of it
  std::optional<Error> problem{};
};
// Both throw nothing.
LoadedCase load_case(const io::SourceFile& file, const data::ImageOptions& image);
// `one` is the first channel, in slices as the network sees them; its range, which pictures of it are drawn with, is as
// `image` says.
LoadedCase load_nnunet_case(const io::SourceFile& file, const nnunet::Plans& plans, const data::ImageOptions& image);

}  // namespace vmae::run
