#pragma once
// What images are of which nothing says it (data/modality.h), for the commands, with what the log says of it.
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"
#include "vmae/data/image_options.h"

namespace vmae::run {

// Source after source of a run, those that train first: sources of validation are taken as those that train were.
class ModalityOfSources {
 public:
  // Throws Error(usage) where data.modality is none.
  explicit ModalityOfSources(const data::ImageOptions& image);
  void settle(std::vector<io::SourceFile>& files, bool is_training);

 private:
  std::string said_;
  bool may_guess_;
  int64_t num_unknown_ = 0, num_ct_ = 0;  // volumes that train
};

// Of what a fine-tuned model predicts, after what it learnt from: `said` then, or, if
// it learnt from CT and others besides, a guess. The warning names no key of a config.
void settle_for_prediction(std::vector<io::SourceFile>& files, const std::string& said, bool may_guess);

// Of what is prepared: prepare.modality, else a guess, unless intensities are scaled by a rule that does not ask.
void settle_for_preparation(std::vector<io::SourceFile>& files, const std::string& said, const std::string& intensity);

// Of what nnU-Net's plan is made of, whose channels are normalised by their names: where they have some, nothing is
// said of a guess.
void settle_for_planning(std::vector<io::SourceFile>& files, bool have_names);

void log_intensity(const std::vector<const std::vector<io::SourceFile>*>& parts, const data::ImageOptions& image,
                   const std::string& unit);

}  // namespace vmae::run
