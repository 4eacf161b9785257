// Cases as pictures: the slice with the most of both masks; image, truth and prediction side by side, pixels square in millimetres.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "eval_output.h"
#include "vmae/core/log.h"
#include "vmae/core/text.h"
#include "vmae/io/caption.h"
#include "vmae/io/picture.h"
#include "vmae/io/resize.h"

namespace vmae::run {

namespace {

constexpr int64_t panel_side_px = 260, gap_px = 8, caption_px = 24;
// Okabe and Ito's colours, as in a run's overlays.
constexpr int colours[7][3] = {{230, 159, 0}, {86, 180, 233}, {0, 158, 115}, {240, 228, 66}, {0, 114, 178}, {213, 94, 0}, {204, 121, 167}};

struct Plane {
  int64_t rows = 0, columns = 0;
  double row_mm = 1, column_mm = 1;
  std::vector<uint8_t> truth, prediction;
};

int64_t voxel_of(const std::array<int64_t, 3>& size, int axis, int64_t index, int64_t row, int64_t column) {
  const int64_t x = axis == 0 ? index : column, y = axis == 1 ? index : axis == 0 ? column : row, z = axis == 2 ? index : row;
  return x + size[0] * (y + size[1] * z);
}

Plane plane_of(const SegmentationPair& pair, int axis, int64_t index) {
  const size_t columns = axis == 0 ? 1 : 0, rows = axis == 2 ? 1 : 2;
  Plane plane{pair.size[rows], pair.size[columns], pair.spacing_mm[rows], pair.spacing_mm[columns], {}, {}};
  for (int64_t row = 0; row < plane.rows; ++row) {
    for (int64_t column = 0; column < plane.columns; ++column) {
      const auto voxel = static_cast<size_t>(voxel_of(pair.size, axis, index, row, column));
      plane.truth.push_back(pair.truth[voxel]);
      plane.prediction.push_back(pair.prediction[voxel]);
    }
  }
  return plane;
}

int64_t fullest_slice(const SegmentationPair& pair, int axis) {
  int64_t best = 0, most = -1;
  for (int64_t index = 0; index < pair.size[static_cast<size_t>(axis)]; ++index) {
    const Plane plane = plane_of(pair, axis, index);
    int64_t count = 0;
    for (size_t i = 0; i < plane.truth.size(); ++i) count += (plane.truth[i] > 0 ? 2 : 0) + (plane.prediction[i] > 0 ? 1 : 0);
    if (count > most) {
      most = count;
      best = index;
    }
  }
  return best;
}

// Grey values 0 to 255 between the slice's 1st and 99th percentile; black where there is no image.
std::vector<float> grey_of(const SegmentationCase& one, const Plane& plane, const std::array<int64_t, 3>& size, int axis, int64_t index) {
  std::vector<float> grey(plane.truth.size(), 40.0F);
  if (one.truth.file.path.empty()) return grey;
  try {
    const io::Volume volume = image_of(one.truth);
    if (volume.size != size) return grey;
    const io::Image slice = io::slice_of(volume, axis, index);
    for (size_t i = 0; i < grey.size(); ++i) {
      double sum = 0;
      for (int64_t c = 0; c < slice.channels; ++c) sum += slice.pixels[i * static_cast<size_t>(slice.channels) + static_cast<size_t>(c)];
      grey[i] = static_cast<float>(sum / static_cast<double>(slice.channels));
      if (!std::isfinite(grey[i])) grey[i] = 0;
    }
    std::vector<float> sorted = grey;
    std::sort(sorted.begin(), sorted.end());
    const float low = sorted[sorted.size() / 100], high = sorted[sorted.size() - 1 - sorted.size() / 100];
    for (float& value : grey) value = high > low ? std::clamp((value - low) / (high - low), 0.0F, 1.0F) * 255.0F : 0.0F;
  } catch (const Error& error) {
    log::warning(concat("no picture of ", one.truth.name, ": ", error.what()));
  }
  return grey;
}

// One panel, already enlarged: labels in colour, outlines at full strength, insides lightly.
void draw(io::Image& sheet, int64_t left, const std::vector<float>& grey, const std::vector<uint8_t>& labels, const Plane& plane, int64_t height,
          int64_t width) {
  std::vector<float> large(static_cast<size_t>(height * width));
  io::resize(grey.data(), {plane.rows, plane.columns}, 1, large.data(), {height, width});
  const auto label_at = [&](int64_t y, int64_t x) -> int {
    if (labels.empty() || y < 0 || x < 0 || y >= height || x >= width) return 0;
    return labels[static_cast<size_t>((y * plane.rows / height) * plane.columns + x * plane.columns / width)];
  };
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      const int label = label_at(y, x);
      bool is_edge = false;
      for (int64_t step = 1; step <= 2; ++step)
        is_edge |= label_at(y - step, x) != label || label_at(y + step, x) != label || label_at(y, x - step) != label || label_at(y, x + step) != label;
      const float strength = label == 0 ? 0.0F : is_edge ? 0.95F : 0.2F;
      float* pixel = &sheet.pixels[static_cast<size_t>(((caption_px + y) * sheet.width + left + x) * 3)];
      for (int c = 0; c < 3; ++c)
        pixel[c] = large[static_cast<size_t>(y * width + x)] * (1 - strength) + static_cast<float>(colours[(label + 6) % 7][c]) * strength;
    }
  }
}

std::string picture_of(const Evaluation& evaluation, size_t number, size_t model) {
  const SegmentationInput& input = *evaluation.segmentation;
  const SegmentationPair pair = input.read_pair(number, model);
  const int64_t slice = input.slices.empty() ? -1 : input.slices[number];
  const TruthCase& truth = input.cases[number].truth;
  const int axis = truth.axis >= 0 ? truth.axis : eval_axis(evaluation.models, pair.size, pair.spacing_mm);
  const int64_t index = slice >= 0 ? slice : fullest_slice(pair, axis);
  const Plane plane = plane_of(pair, axis, index);
  const std::vector<float> grey = grey_of(input.cases[number], plane, pair.size, axis, index);
  const double height_mm = static_cast<double>(plane.rows) * plane.row_mm, width_mm = static_cast<double>(plane.columns) * plane.column_mm;
  const double scale = panel_side_px / std::max(height_mm, width_mm);
  const auto height = std::max<int64_t>(1, std::llround(height_mm * scale)), width = std::max<int64_t>(1, std::llround(width_mm * scale));
  const int64_t step = std::max<int64_t>(width, 110) + gap_px;
  io::Image sheet{height + caption_px, 3 * step, 3, {}, 255.0};
  sheet.pixels.assign(static_cast<size_t>(sheet.height * sheet.width * 3), 255.0F);
  const std::vector<uint8_t> none;
  draw(sheet, 0, grey, none, plane, height, width);
  draw(sheet, step, grey, plane.truth, plane, height, width);
  draw(sheet, 2 * step, grey, plane.prediction, plane, height, width);
  const char* const captions[3] = {"image", "truth", "prediction"};
  for (int64_t i = 0; i < 3; ++i) io::write_caption(sheet, i * step, caption_px - 8, captions[i]);
  return io::encode_png(sheet);
}

}  // namespace

std::vector<report::Picture> case_pictures(const Evaluation& evaluation, size_t model) {
  const SegmentationInput& input = *evaluation.segmentation;
  const eval::SegmentationMetric& dice = eval::segmentation_metrics()[0];
  std::vector<std::pair<double, size_t>> order;
  for (size_t i = 0; i < input.cases.size(); ++i) {
    const double value = eval::value_of(input.study.scores[model][i], dice, input.study.classes.size());
    if (!std::isnan(value)) order.emplace_back(value, i);
  }
  std::sort(order.begin(), order.end());
  std::vector<report::Picture> pictures;
  std::vector<std::pair<const char*, size_t>> chosen;
  if (!order.empty()) chosen.emplace_back("Best case", order.size() - 1);
  if (order.size() > 2) chosen.emplace_back("Median case", (order.size() - 1) / 2);
  if (order.size() > 1) chosen.emplace_back("Worst case", 0);
  for (const auto& [what, at] : chosen) {
    const auto [value, i] = order[at];
    const std::string text = concat(what, ": ", input.study.cases[i], ", Dice ", report::number(value));
    pictures.push_back({picture_of(evaluation, i, model), text, concat(text, ". Three panels: the image, the truth and the prediction as coloured outlines.")});
  }
  return pictures;
}

}  // namespace vmae::run
