#include "vmae/runs/modality.h"

#include "vmae/core/log.h"
#include "vmae/core/text.h"
#include "vmae/data/modality.h"

namespace vmae::run {

namespace {

// advice: where all of them are taken so.
void warn_of_guess(const data::ModalityGuess& guess, const std::string& advice) {
  if (guess.num_ct == 0) return;
  const bool are_all = guess.num_ct == guess.num_unknown;
  const std::string some = are_all ? std::to_string(guess.num_ct) : concat(guess.num_ct, " of ", guess.num_unknown);
  log::warning(concat("nothing says what ", some, guess.num_unknown == 1 ? " image is" : " images are",
                      ", but their values look like Hounsfield units: taken as CT. ",
                      are_all ? advice : "A manifest's column modality says what each of them is"));
}

}  // namespace

ModalityOfSources::ModalityOfSources(const data::ImageOptions& image)
    : said_(data::checked_modality("data.modality", image.modality)), may_guess_(image.intensity == "auto") {}

void ModalityOfSources::settle(std::vector<io::SourceFile>& files, bool is_training) {
  const bool as_training = !is_training && num_unknown_ > 0 && (num_ct_ == 0 || num_ct_ == num_unknown_);
  if (as_training && said_.empty()) {
    if (num_ct_ == 0) return;
    data::settle_modality(files, "CT", /*may_guess=*/false);
    return;
  }
  const data::ModalityGuess guess = data::settle_modality(files, said_, may_guess_);
  if (is_training) {
    num_unknown_ += guess.num_unknown;
    num_ct_ += guess.num_ct;
  }
  warn_of_guess(
      guess,
      "data.modality=CT says so; another modality (data.modality=MR), or a manifest's column modality, says otherwise");
}

void settle_for_prediction(std::vector<io::SourceFile>& files, const std::string& said, bool may_guess) {
  warn_of_guess(data::settle_modality(files, said, may_guess), "A manifest's column modality says otherwise");
}

void settle_for_preparation(std::vector<io::SourceFile>& files, const std::string& said, const std::string& intensity) {
  const bool may_guess = intensity == "native" || intensity == "auto";
  const data::ModalityGuess guess =
      data::settle_modality(files, data::checked_modality("prepare.modality", said), may_guess);
  warn_of_guess(guess,
                "prepare.modality=CT says so; another modality (prepare.modality=MR), or a manifest's column modality, "
                "says otherwise");
}

void settle_for_planning(std::vector<io::SourceFile>& files, bool have_names) {
  const data::ModalityGuess guess = data::settle_modality(files, "", /*may_guess=*/true);
  if (!have_names)
    warn_of_guess(guess,
                  "plan.channel_names=[CT] says so; another name, or a manifest's column modality, says otherwise");
}

void log_intensity(const std::vector<const std::vector<io::SourceFile>*>& parts, const data::ImageOptions& image,
                   const std::string& unit) {
  std::vector<io::SourceFile> files;
  for (const auto* part : parts) files.insert(files.end(), part->begin(), part->end());
  if (files.empty()) return;
  log::info(concat("intensity (data.intensity = ", image.intensity, "): ", data::intensity_text(files, image, unit)));
}

}  // namespace vmae::run
