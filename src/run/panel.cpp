#include "vmae/run/panel.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/repeat_interleave.h>

#include "vmae/io/caption.h"

namespace vmae::run {

namespace {

constexpr int64_t min_side_px = 160, gap_px = 6, caption_px = 24;

// A value per channel, ready to be broadcast over (n, C, h, w).
at::Tensor per_channel(const std::vector<double>& values) { return at::tensor(values, at::kFloat).view({1, -1, 1, 1}); }

at::Tensor pixels_of(const at::Tensor& prediction, const at::Tensor& image, const nn::MaeOptions& options) {
  at::Tensor patches = prediction.to(at::kFloat);
  if (options.norm_pix_loss) {  // the network predicts pixels normalised per patch: undo that with the true patch's mean and variance
    const auto [variance, mean] = at::var_mean(nn::patchify(image), -1, /*unbiased=*/true, /*keepdim=*/true);
    patches = patches * (variance + 1e-6).sqrt() + mean;
  }
  return nn::unpatchify(patches, image.size(2), image.size(3));
}

}  // namespace

io::Image reconstruction_panel(const at::Tensor& image, const nn::MaeOutput& output, const nn::MaeOptions& options, const std::vector<double>& mean,
                               const std::vector<double>& std) {
  const int64_t n = image.size(0), height = image.size(2), width = image.size(3);
  const at::Tensor hidden =
      nn::unpatchify(output.hidden.unsqueeze(-1).expand({-1, -1, nn::patch_size * nn::patch_size}).to(at::kFloat).contiguous(), height, width);  // (n, 1, h, w)
  const at::Tensor grey = (at::full({1}, 0.5) - per_channel(mean)) / per_channel(std);
  const at::Tensor masked = at::where(hidden > 0.5, grey, image);
  const at::Tensor reconstruction = at::where(hidden > 0.5, pixels_of(output.prediction, image, options), image);

  const int64_t zoom = std::max<int64_t>(1, (min_side_px + std::min(height, width) - 1) / std::min(height, width));
  std::vector<at::Tensor> columns;
  for (const at::Tensor& column : {image, masked, reconstruction}) {
    const at::Tensor shown = ((column * per_channel(std) + per_channel(mean)) * 255.0).clamp(0.0, 255.0);
    columns.push_back(at::constant_pad_nd(shown.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3), {0, gap_px, 0, gap_px}, 255.0));
  }
  const at::Tensor rows = at::cat(columns, 3);  // (n, C, h', 3 w')
  const int64_t side_by_side = n > 1 ? 2 : 1, lines = (n + side_by_side - 1) / side_by_side;
  std::vector<at::Tensor> pairs;
  for (int64_t line = 0; line < lines; ++line) {
    std::vector<at::Tensor> pair;
    for (int64_t i = line * side_by_side; i < (line + 1) * side_by_side; ++i) {
      pair.push_back(at::constant_pad_nd(i < n ? rows[i] : at::full_like(rows[0], 255.0), {0, 2 * gap_px}, 255.0));
    }
    pairs.push_back(at::cat(pair, 2));
  }
  at::Tensor sheet = at::constant_pad_nd(at::cat(pairs, 1), {gap_px, 0, caption_px, 0}, 255.0);  // (C, h, w)
  if (sheet.size(0) != 1 && sheet.size(0) != 3) sheet = sheet.slice(0, 0, 1);                    // of multi-channel input, the first
  sheet = sheet.permute({1, 2, 0}).contiguous();

  io::Image panel{sheet.size(0), sheet.size(1), sheet.size(2), {}, 255.0};
  panel.pixels.assign(sheet.const_data_ptr<float>(), sheet.const_data_ptr<float>() + sheet.numel());
  const int64_t column_px = width * zoom + gap_px;
  for (int64_t pair = 0; pair < side_by_side; ++pair) {
    const char* captions[] = {"image", "masked", "reconstruction"};
    for (int64_t c = 0; c < 3; ++c) io::write_caption(panel, gap_px + pair * (3 * column_px + 2 * gap_px) + c * column_px, caption_px - 8, captions[c]);
  }
  return panel;
}

}  // namespace vmae::run
