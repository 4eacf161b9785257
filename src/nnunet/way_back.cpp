// Logits are resampled, then become numbers. Where every slice is resampled by itself only a few are ever there on the
// fine grid: a whole case has as many numbers there as its voxels times the heads.
#include "vmae/nnunet/way_back.h"

#include <algorithm>
#include <cmath>

#include "transposed.h"
#include "vmae/core/error.h"
#include "vmae/core/parallel.h"
#include "vmae/nnunet/resample.h"

namespace vmae::nnunet {
namespace {

int64_t pixels_of(const std::array<int64_t, 3>& shape) { return shape[1] * shape[2]; }

// Logits on the grid that was resampled in preprocessing, slice by slice.
class ResampledLogits {
 public:
  ResampledLogits(std::span<const float> logits, const PreprocessedCase& of, const Configuration& configuration,
                  int64_t num_heads)
      : logits_(logits), from_(of.shape), to_(of.shape_after_crop), num_heads_(num_heads) {
    resampling_ = configuration.probabilities;
    axis_ = separate_axis(resampling_, {of.spacing[0], configuration.spacing[0], configuration.spacing[1]}, of.spacing);
    // cubic splines that are not separate keep the range of the volume, not of each slice
    is_slice_by_slice_ = axis_ == 0 || (axis_ < 0 && resampling_.order == 1);
    if (is_slice_by_slice_) return;
    whole_.resize(static_cast<size_t>(num_heads));
    parallel_for(num_heads, 0, [&](int64_t head) {
      whole_[static_cast<size_t>(head)] = resample_image(part(head, 0, from_[0]), from_, to_, resampling_, axis_);
    });
  }

  // heads, rows, columns
  std::vector<float> slice(int64_t z) const {
    std::vector<float> all;
    all.reserve(static_cast<size_t>(num_heads_ * pixels_of(to_)));
    for (int64_t head = 0; head < num_heads_; ++head) {
      if (is_slice_by_slice_) {
        const std::vector<float> one =
            resample_image(part(head, z, 1), {1, from_[1], from_[2]}, {1, to_[1], to_[2]}, resampling_, 0);
        all.insert(all.end(), one.begin(), one.end());
      } else {
        const auto begin = whole_[static_cast<size_t>(head)].begin() + z * pixels_of(to_);
        all.insert(all.end(), begin, begin + pixels_of(to_));
      }
    }
    return all;
  }

 private:
  std::vector<float> part(int64_t head, int64_t first_slice, int64_t num_slices) const {
    const auto begin = logits_.begin() + (head * from_[0] + first_slice) * pixels_of(from_);
    return {begin, begin + num_slices * pixels_of(from_)};
  }

  std::span<const float> logits_;
  std::array<int64_t, 3> from_, to_;
  int64_t num_heads_;
  Resampling resampling_;
  int axis_ = -1;
  bool is_slice_by_slice_ = true;
  std::vector<std::vector<float>> whole_;  // by head
};

// In place.
void to_probabilities(const Labels& labels, std::vector<float>& logits) {
  if (labels.has_regions()) {
    for (float& value : logits) value = 1 / (1 + std::exp(-value));
    return;
  }
  const auto heads = static_cast<size_t>(labels.num_heads()), n = logits.size() / heads;
  for (size_t i = 0; i < n; ++i) {
    float most = logits[i], sum = 0;
    for (size_t head = 1; head < heads; ++head) most = std::max(most, logits[head * n + i]);
    for (size_t head = 0; head < heads; ++head) sum += logits[head * n + i] = std::exp(logits[head * n + i] - most);
    for (size_t head = 0; head < heads; ++head) logits[head * n + i] /= sum;
  }
}

// Where voxels of the box lie in the case, whose axes preprocessing exchanged.
struct Places {
  std::array<int64_t, 3> size{}, first{}, strides{};

  Places(const PreprocessedCase& of, const Plans& plans) : size(of.shape_after_crop), first(of.box.begin) {
    const std::array<int64_t, 3> shape = transposed(of.shape_before_crop, plans.transpose_backward);
    strides = transposed(std::array<int64_t, 3>{shape[1] * shape[2], shape[2], 1}, plans.transpose_forward);
  }

  // values: rows, columns of slice z
  template <class T>
  void put(const T* values, int64_t z, std::vector<T>& to) const {
    for (int64_t y = 0; y < size[1]; ++y) {
      int64_t place = (first[0] + z) * strides[0] + (first[1] + y) * strides[1] + first[2] * strides[2];
      for (int64_t x = 0; x < size[2]; ++x, place += strides[2]) to[static_cast<size_t>(place)] = *values++;
    }
  }
};

Prediction all_background(const PreprocessedCase& of, const Labels& labels, bool with_probabilities) {
  const auto voxels = static_cast<size_t>(of.shape_before_crop[0] * pixels_of(of.shape_before_crop));
  Prediction prediction;
  prediction.numbers.resize(voxels);
  if (!with_probabilities) return prediction;
  prediction.probabilities.assign(static_cast<size_t>(labels.num_heads()), std::vector<float>(voxels));
  if (!labels.has_regions()) prediction.probabilities[0].assign(voxels, 1);
  return prediction;
}

}  // namespace

Prediction way_back(std::span<const float> logits, const PreprocessedCase& of, const Plans& plans, const Labels& labels,
                    bool with_probabilities) {
  const int64_t num_heads = labels.num_heads(), pixels = pixels_of(of.shape_after_crop);
  if (std::ssize(logits) != num_heads * of.shape[0] * pixels_of(of.shape) || of.shape[0] != of.shape_after_crop[0])
    throw Error(ExitCode::internal, "logits of another shape than the preprocessed case");
  const ResampledLogits resampled(logits, of, plans.flat, num_heads);
  const Places places(of, plans);
  Prediction prediction = all_background(of, labels, with_probabilities);
  parallel_for(of.shape_after_crop[0], 0, [&](int64_t z) {
    std::vector<float> slice = resampled.slice(z);
    std::vector<uint8_t> numbers(static_cast<size_t>(pixels));
    paint(labels, slice.data(), pixels, numbers.data());
    places.put(numbers.data(), z, prediction.numbers);
    if (!with_probabilities) return;
    to_probabilities(labels, slice);
    for (int64_t head = 0; head < num_heads; ++head)
      places.put(slice.data() + head * pixels, z, prediction.probabilities[static_cast<size_t>(head)]);
  });
  return prediction;
}

}  // namespace vmae::nnunet
