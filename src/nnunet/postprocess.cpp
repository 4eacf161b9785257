// Label maps are taken as runs along x: what components are made of, and small enough that those of all cases stay in
// memory, while one step after the other is tried on them.
#include "vmae/nnunet/postprocess.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "vmae/core/error.h"
#include "vmae/core/parallel.h"
#include "vmae/image/components.h"
#include "vmae/nnunet/numpy.h"

namespace vmae::nnunet {
namespace {

constexpr int64_t kNumMaskValues = 256;

// The foreground of a label map, in the order of voxels.
struct RunsOfCase {
  std::array<int64_t, 3> size{};
  std::vector<io::Run> runs;
  std::vector<uint8_t> predicted, reference;                  // of each run
  std::array<int64_t, kNumMaskValues> voxels_of_reference{};  // of each value, foreground or not
};

// reference: as long as `predicted`, or empty
RunsOfCase runs_of(std::span<const uint8_t> predicted, std::span<const uint8_t> reference,
                   const std::array<int64_t, 3>& size) {
  RunsOfCase one;
  one.size = size;
  for (const uint8_t value : reference) ++one.voxels_of_reference[value];
  for (int64_t row = 0; row < size[1] * size[2]; ++row) {
    const int64_t start = row * size[0];
    const auto label_at = [&](int64_t x) { return predicted[static_cast<size_t>(start + x)]; };
    const auto reference_at = [&](int64_t x) {
      return reference.empty() ? uint8_t{0} : reference[static_cast<size_t>(start + x)];
    };
    for (int64_t begin = 0, end = 0; begin < size[0]; begin = end) {
      const uint8_t label = label_at(begin), of_reference = reference_at(begin);
      for (end = begin + 1; end < size[0] && label_at(end) == label; ++end) {
        if (label != 0 && reference_at(end) != of_reference) break;
      }
      if (label == 0) continue;
      one.runs.push_back({row, static_cast<int32_t>(begin), static_cast<int32_t>(end)});
      one.predicted.push_back(label);
      one.reference.push_back(of_reference);
    }
  }
  return one;
}

using IsAny = std::array<bool, kNumMaskValues>;

IsAny set_of(const std::vector<int64_t>& labels) {
  IsAny is_any{};
  for (const int64_t label : labels) {
    if (label > 0 && label < kNumMaskValues) is_any[static_cast<size_t>(label)] = true;
  }
  return is_any;
}

// The labels of the runs after a step.
std::vector<uint8_t> labels_after(const PostprocessingStep& step, const RunsOfCase& one) {
  const IsAny is_any = set_of(step.labels);
  std::vector<io::Run> chosen;
  std::vector<size_t> places;
  for (size_t i = 0; i < one.runs.size(); ++i) {
    if (!is_any[one.predicted[i]]) continue;
    chosen.push_back(one.runs[i]);
    places.push_back(i);
  }
  const std::vector<int64_t> numbers = io::components_of(chosen, one.size);
  std::vector<int64_t> voxels(chosen.size());
  for (size_t i = 0; i < chosen.size(); ++i) voxels[static_cast<size_t>(numbers[i])] += chosen[i].end - chosen[i].begin;
  const int64_t largest = chosen.empty() ? 0 : *std::max_element(voxels.begin(), voxels.end());
  std::vector<uint8_t> labels = one.predicted;
  for (size_t i = 0; i < chosen.size(); ++i) {
    if (voxels[static_cast<size_t>(numbers[i])] < largest) labels[places[i]] = 0;
  }
  return labels;
}

// Of a class or region; NaN where neither label map has it.
double dice_of(const RunsOfCase& one, const std::vector<uint8_t>& predicted, const IsAny& is_any, bool has_ignore) {
  int64_t both = 0, num_predicted = 0, num_reference = 0;
  for (size_t i = 0; i < one.runs.size(); ++i) {
    const uint8_t reference = one.reference[i];
    if (!is_any[predicted[i]] || (has_ignore && reference == kIgnoredLabel)) continue;
    const int64_t voxels = one.runs[i].end - one.runs[i].begin;
    num_predicted += voxels;
    if (is_any[reference]) both += voxels;
  }
  for (size_t value = 0; value < is_any.size(); ++value) {
    if (is_any[value] && !(has_ignore && value == kIgnoredLabel)) num_reference += one.voxels_of_reference[value];
  }
  if (num_predicted + num_reference == 0) return std::nan("");
  return static_cast<double>(2 * both) / static_cast<double>(num_predicted + num_reference);
}

// numpy.nanmean
double mean_of_known(const std::vector<double>& values) {
  const auto at = [&](size_t i) { return std::isnan(values[i]) ? 0.0 : values[i]; };
  const auto num_known = std::count_if(values.begin(), values.end(), [](double value) { return !std::isnan(value); });
  return num_known == 0 ? std::nan("") : pairwise_sum<double>(at, 0, values.size()) / static_cast<double>(num_known);
}

std::string dice_text(double value) { return std::isnan(value) ? "none" : number_text(std::round(value * 1e5) / 1e5); }

class Search {
 public:
  Search(int64_t num_cases, const std::function<LabelledCase(int64_t)>& load, const Labels& labels)
      : labels_(labels), cases_(static_cast<size_t>(num_cases)) {
    for (const LabelEntry& entry : labels.foreground) is_any_.push_back(set_of(entry.values));
    parallel_for(num_cases, /*threads=*/0, [&](int64_t i) {
      const LabelledCase one = load(i);
      const auto voxels = static_cast<size_t>(one.size[0] * one.size[1] * one.size[2]);
      if (one.predicted.size() != voxels || one.reference.size() != voxels)
        throw Error(ExitCode::internal, "postprocessing: a label map is not of the size of its case");
      cases_[static_cast<size_t>(i)] = runs_of(one.predicted, one.reference, one.size);
    });
  }

  FoundPostprocessing run() {
    found_.before = dice(predictions());
    try_all_foreground();
    for (size_t k = 0; is_any_.size() > 1 && k < is_any_.size(); ++k) try_entry(k);
    found_.after = dice(predictions());
    found_.report.push_back(concat("mean Dice without postprocessing ", dice_text(found_.before.mean),
                                   ", with what was taken ", dice_text(found_.after.mean)));
    return std::move(found_);
  }

 private:
  using Predictions = std::vector<std::vector<uint8_t>>;  // labels of the runs of each case

  void try_all_foreground() {
    std::set<int64_t> all;
    for (const LabelEntry& entry : labels_.foreground) all.insert(entry.values.begin(), entry.values.end());
    all.erase(0);
    const PostprocessingStep step{{all.begin(), all.end()}};
    Predictions candidates = after_step(step);
    const MeanDice now = dice(candidates);
    std::vector<std::string> falling;
    for (size_t k = 0; k < is_any_.size(); ++k) {
      if (now.by_entry[k] < found_.before.by_entry[k]) falling.push_back(labels_.foreground[k].name);
    }
    const bool is_better = now.mean > found_.before.mean && falling.empty();
    decide("of all foreground", found_.before.mean, now.mean, is_better, step, std::move(candidates));
    if (now.mean > found_.before.mean && !falling.empty())
      found_.report.back() += ", as that of " + join(falling, ", ") + " falls";
  }

  void try_entry(size_t k) {
    const PostprocessingStep step{labels_.foreground[k].values};
    Predictions candidates = after_step(step);
    const double before = dice(k, predictions()), now = dice(k, candidates);
    decide("of " + labels_.foreground[k].name, before, now, now > before, step, std::move(candidates));
  }

  void decide(const std::string& whose, double before, double now, bool is_better, const PostprocessingStep& step,
              Predictions candidates) {
    found_.report.push_back(concat("the largest component ", whose, " alone: Dice ", dice_text(before), " -> ",
                                   dice_text(now), is_better ? ": taken" : ": not taken"));
    if (!is_better) return;
    found_.postprocessing.steps.push_back(step);
    for (size_t i = 0; i < cases_.size(); ++i) cases_[i].predicted = std::move(candidates[i]);
  }

  Predictions predictions() const {
    Predictions all;
    for (const RunsOfCase& one : cases_) all.push_back(one.predicted);
    return all;
  }

  Predictions after_step(const PostprocessingStep& step) const {
    Predictions all(cases_.size());
    parallel_for(std::ssize(cases_), /*threads=*/0,
                 [&](int64_t i) { all[static_cast<size_t>(i)] = labels_after(step, cases_[static_cast<size_t>(i)]); });
    return all;
  }

  double dice(size_t k, const Predictions& predictions) const {
    std::vector<double> of_cases(cases_.size());
    parallel_for(std::ssize(cases_), /*threads=*/0, [&](int64_t i) {
      const auto at = static_cast<size_t>(i);
      of_cases[at] = dice_of(cases_[at], predictions[at], is_any_[k], labels_.has_ignore);
    });
    return mean_of_known(of_cases);
  }

  MeanDice dice(const Predictions& predictions) const {
    MeanDice means;
    for (size_t k = 0; k < is_any_.size(); ++k) means.by_entry.push_back(dice(k, predictions));
    const auto at = [&](size_t k) { return means.by_entry[k]; };
    means.mean = pairwise_sum<double>(at, 0, is_any_.size()) / static_cast<double>(is_any_.size());
    return means;
  }

  const Labels& labels_;
  std::vector<IsAny> is_any_;  // of each class or region
  std::vector<RunsOfCase> cases_;
  FoundPostprocessing found_;
};

}  // namespace

void apply(const Postprocessing& postprocessing, std::span<uint8_t> labels, const std::array<int64_t, 3>& size) {
  if (postprocessing.steps.empty()) return;
  RunsOfCase one = runs_of(labels, {}, size);
  for (const PostprocessingStep& step : postprocessing.steps) one.predicted = labels_after(step, one);
  for (size_t i = 0; i < one.runs.size(); ++i) {
    const io::Run& run = one.runs[i];
    std::fill_n(labels.begin() + run.row * size[0] + run.begin, run.end - run.begin, one.predicted[i]);
  }
}

FoundPostprocessing find_postprocessing(int64_t num_cases, const std::function<LabelledCase(int64_t)>& load,
                                        const Labels& labels) {
  if (num_cases == 0 || labels.foreground.empty())
    throw Error(ExitCode::internal, "postprocessing: there are no cases, or no labels");
  return Search(num_cases, load, labels).run();
}

}  // namespace vmae::nnunet
