#include "case_result.h"

#include <ATen/ops/argmax.h>

#include <cstdio>

#include "output.h"
#include "vmae/image/components.h"
#include "vmae/report/table.h"

namespace vmae::run {
namespace {

namespace fs = std::filesystem;

// Values of slices (rows, columns) at their places in a volume that is x fastest.
template <class T>
void scatter(const at::Tensor& slices, int64_t first, const data::Case& one, std::vector<T>& volume) {
  const T* from = slices.const_data_ptr<T>();
  for (int64_t i = first; i < first + slices.size(0); ++i) {
    const io::SliceLayout layout(one.volume.size, one.axis, i);
    for (int64_t row = 0; row < layout.height; ++row) {
      for (int64_t column = 0; column < layout.width; ++column)
        volume[static_cast<size_t>(layout.voxel(row, column))] = *from++;
    }
  }
}

std::string probability_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.7g", value);
  return text;
}

std::string csv_row(std::vector<std::string> fields, const std::vector<double>& probabilities) {
  for (const double value : probabilities) fields.push_back(probability_text(value));
  return report::csv_line(fields);
}

}  // namespace

CaseResult::CaseResult(const io::SourceFile& file, const data::Case& one, std::string name, const ModelCard& card,
                       const PredictOptions& options, const nnunet::Postprocessing& postprocessing)
    : file_(file),
      case_(one),
      name_(std::move(name)),
      card_(card),
      options_(options),
      postprocessing_(postprocessing),
      voxels_(static_cast<size_t>(one.volume.num_values() / one.volume.channels)) {}

// What was added before is read while the device computes this.
void CaseResult::add(int64_t first, const at::Tensor& p) {
  Slices next{.first = first};
  if (p.dim() == 2) {
    next.scores.emplace(p.to(at::kDouble).contiguous());
  } else {
    next.labels.emplace(at::argmax(p, 1).to(at::kByte).contiguous());
    for (size_t k = 0; options_.probabilities && k < card_.class_names.size(); ++k)
      next.probabilities.emplace_back(p.select(1, static_cast<int64_t>(k) + 1).contiguous());
  }
  if (coming_) take(*coming_);
  coming_ = std::move(next);
}

void CaseResult::take(const Slices& slices) {
  if (slices.scores) return take_scores(slices.first, slices.scores->read());
  labels_.resize(voxels_);
  scatter(slices.labels->read(), slices.first, case_, labels_);
  probabilities_.resize(slices.probabilities.size());
  for (size_t k = 0; k < probabilities_.size(); ++k) {
    probabilities_[k].resize(voxels_);
    scatter(slices.probabilities[k].read(), slices.first, case_, probabilities_[k]);
  }
}

void CaseResult::take_scores(int64_t first, const at::Tensor& scores) {
  for (int64_t i = 0; i < scores.size(0); ++i) {
    const double* row = scores.const_data_ptr<double>() + i * scores.size(1);
    const std::vector<double> values(row, row + scores.size(1));
    pool_.add(values, options_.pool.empty() ? card_.pool : options_.pool);
    slices_rows_ += csv_row({name_, std::to_string(first + i)}, values);
  }
}

PredictedCase CaseResult::write(const fs::path& output) {
  if (coming_) take(*coming_);
  coming_.reset();
  if (whole_) {
    nnunet::Prediction whole = whole_();
    labels_ = std::move(whole.numbers);
    probabilities_ = std::move(whole.probabilities);
  }
  return labels_.empty() ? rows() : write_files(output);
}

PredictedCase CaseResult::rows() const {
  return {{}, csv_row({name_, std::to_string(pool_.num_slices())}, pool_.result(card_.is_multi_label)), slices_rows_};
}

PredictedCase CaseResult::write_files(const fs::path& output) {
  PredictedCase done;
  const auto wrote = [&](const fs::path& file) { done.files.push_back(file.lexically_relative(output).string()); };
  nnunet::apply(postprocessing_, labels_, case_.volume.size);
  if (options_.largest_component) io::keep_largest_components(labels_, case_.volume.size);
  wrote(write_labels(output / name_, file_, case_, labels_, card_));
  const std::vector<std::string> class_names = probability_file_names(card_);
  for (size_t k = 0; k < probabilities_.size(); ++k)
    wrote(write_probabilities(output / "probabilities" / (name_ + "_" + class_names[k]), file_, case_,
                              probabilities_[k]));
  if (options_.overlays) wrote(write_overlay(output / "overlays" / name_, case_, labels_, card_));
  return done;
}

}  // namespace vmae::run
