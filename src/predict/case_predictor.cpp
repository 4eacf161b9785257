#include "case_predictor.h"

#include <algorithm>
#include <span>
#include <utility>

#include "nnunet_predictor.h"
#include "slice_predictor.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/core/signals.h"
#include "vmae/nnunet/way_back.h"

namespace vmae::run {
namespace {

bool is_one_picture(const data::Case& one) { return one.axis == 2 && one.volume.size[2] == 1; }

// Slice by slice; pictures of one size go together.
class SliceCases : public CasePredictor {
 public:
  SliceCases(std::vector<LoadedModel> models, const PredictOptions& options, at::Device device,
             train::Precision precision)
      : predictor_(std::move(models),
                   SliceOptions{options.tiles, options.overlap, options.mirror.value_or(false), options.batch}, device,
                   precision) {}

  const LoadedModel& model() const override { return predictor_.model(); }

  LoadedCase load(const io::SourceFile& file) const override { return load_case(file, model().card.image); }

  bool go_together(const std::vector<LoadedCase>& others, const LoadedCase& one) const override {
    const data::Case& first = others.front().one;
    return is_one_picture(one.one) && is_one_picture(first) && one.one.volume.size == first.volume.size &&
           one.one.volume.channels == first.volume.channels && std::ssize(others) < predictor_.options().batch;
  }

  void predict(const std::vector<LoadedCase>& cases, std::vector<CaseResult>& results) override {
    if (cases.size() == 1) return predict_slices(cases.front().one, results.front());
    std::vector<io::Image> slices;
    std::vector<data::IntensityRange> ranges;
    for (const LoadedCase& loaded : cases) {
      slices.push_back(io::slice_of(loaded.one.volume, loaded.one.axis, 0));
      ranges.push_back(loaded.one.range);
    }
    const at::Tensor p = predictor_.probabilities(slices, ranges);
    for (size_t i = 0; i < cases.size(); ++i)
      results[i].add(0, p.slice(0, static_cast<int64_t>(i), static_cast<int64_t>(i) + 1));
  }

  void warn_of_input() const override {
    const int64_t num_unlike = predictor_.num_unlike(), num_slices = predictor_.num_slices();
    if (2 * num_unlike <= num_slices) return;
    log::warning(concat(num_unlike, " of ", num_slices,
                        num_slices == 1 ? " image looks" : " images (slices of volumes) look",
                        " unlike those that the model was trained on, by mean, contrast or colour of the network's "
                        "input: another modality, region or scaling? What was predicted may mean nothing"));
  }

 private:
  void predict_slices(const data::Case& one, CaseResult& result) {
    const int64_t count = one.volume.size[static_cast<size_t>(one.axis)], batch = predictor_.options().batch;
    for (int64_t first = 0; first < count; first += batch) {
      if (stop_requested()) throw Error(ExitCode::stopped, "stopped");
      std::vector<io::Image> slices;
      for (int64_t i = first; i < std::min(count, first + batch); ++i)
        slices.push_back(io::slice_of(one.volume, one.axis, i));
      result.add(first, predictor_.probabilities(slices, {one.range}));
    }
  }

  SlicePredictor predictor_;
};

// Whole cases, one at a time, by nnU-Net's rules.
class NnUnetCases : public CasePredictor {
 public:
  NnUnetCases(std::vector<LoadedModel> models, const PredictOptions& options, at::Device device,
              train::Precision precision)
      : predictor_(std::move(models), NnUnetTiles{options.mirror.value_or(true), options.batch, options.overlap},
                   device, precision),
        with_probabilities_(options.probabilities) {
    if (options.tiles != "auto")
      log::warning("--tiles changes nothing with an nnU-Net: its tiles are as large as its plan says");
    if (options.mirror && !*options.mirror && !model().mirror_axes.empty())
      log::info("without mirror images, over which nnU-Net itself takes the mean");
  }

  const LoadedModel& model() const override { return predictor_.model(); }

  LoadedCase load(const io::SourceFile& file) const override {
    return load_nnunet_case(file, *model().plans, model().card.image);
  }

  bool go_together(const std::vector<LoadedCase>& /*others*/, const LoadedCase& /*one*/) const override {
    return false;
  }

  void predict(const std::vector<LoadedCase>& cases, std::vector<CaseResult>& results) override {
    for (size_t i = 0; i < cases.size(); ++i) {
      const nnunet::PreprocessedCase& preprocessed = *cases[i].preprocessed;
      results[i].set([this, &preprocessed, logits = predictor_.logits(preprocessed)] {
        return prediction_of(logits, preprocessed);
      });
    }
  }

 private:
  nnunet::Prediction prediction_of(const at::Tensor& logits, const nnunet::PreprocessedCase& preprocessed) const {
    nnunet::Prediction prediction =
        nnunet::way_back(std::span(logits.const_data_ptr<float>(), static_cast<size_t>(logits.numel())), preprocessed,
                         *model().plans, model().labels, with_probabilities_);
    to_classes(prediction.numbers);
    if (with_probabilities_ && !model().labels.has_regions())
      prediction.probabilities.erase(prediction.probabilities.begin());  // of the background
    return prediction;
  }

  // What regions are painted with becomes the class that stands for it (ModelCard::label_values).
  void to_classes(std::vector<uint8_t>& numbers) const {
    const std::vector<int64_t>& order = model().labels.region_order;
    std::array<uint8_t, 256> class_of{};
    for (size_t number = 0; number < class_of.size(); ++number) class_of[number] = static_cast<uint8_t>(number);
    for (size_t i = 0; i < order.size(); ++i) class_of.at(static_cast<size_t>(order[i])) = static_cast<uint8_t>(i + 1);
    for (uint8_t& number : numbers) number = class_of[number];
  }

  NnUnetPredictor predictor_;
  bool with_probabilities_;
};

}  // namespace

std::unique_ptr<CasePredictor> make_case_predictor(std::vector<LoadedModel> models, const PredictOptions& options,
                                                   at::Device device, train::Precision precision) {
  if (models.front().plans != nullptr)
    return std::make_unique<NnUnetCases>(std::move(models), options, device, precision);
  return std::make_unique<SliceCases>(std::move(models), options, device, precision);
}

}  // namespace vmae::run
