#include "vmae/pictures/panel.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/repeat_interleave.h>

#include <ATen/ops/where.h>

#include "vmae/core/text.h"
#include "vmae/image/caption.h"
#include "vmae/pictures/class_colours.h"

namespace vmae::run {

namespace {

constexpr int64_t kMinSidePx = 160, kGapPx = 6, kCaptionPx = 24, kMaxChannels = 4;

bool is_picture(const at::Tensor& image) { return image.size(1) == 1 || image.size(1) == 3; }

// What is shown of (n, C, h, w): grey and colour as they are, else the first channels, each in grey.
std::vector<at::Tensor> pictures_of(const at::Tensor& image) {
  if (is_picture(image)) return {image};
  return image.slice(1, 0, kMaxChannels).split(1, 1);
}

// The same, below each other.
at::Tensor rows_of(const at::Tensor& image) {
  if (is_picture(image)) return image;
  return image.slice(1, 0, kMaxChannels).reshape({-1, 1, image.size(2), image.size(3)});
}

// A value per channel, ready to be broadcast over (n, C, h, w).
at::Tensor per_channel(const std::vector<double>& values) { return at::tensor(values, at::kFloat).view({1, -1, 1, 1}); }

at::Tensor pixels_of(const at::Tensor& prediction, const at::Tensor& image, const nn::MaeOptions& options) {
  at::Tensor patches = prediction.to(at::kFloat);
  // the network predicts pixels normalised per patch: undo that with the true patch's mean and variance
  if (options.norm_pix_loss) {
    const auto [variance, mean] = at::var_mean(nn::patchify(image), -1, /*unbiased=*/true, /*keepdim=*/true);
    patches = patches * (variance + 1e-6).sqrt() + mean;
  }
  return nn::unpatchify(patches, image.size(2), image.size(3));
}

// columns: each (n, C, h, w), values 0 to 1.
io::Image sheet(const std::vector<at::Tensor>& pictures, const std::vector<std::string>& captions) {
  const int64_t n = pictures[0].size(0), height = pictures[0].size(2), width = pictures[0].size(3);
  const int64_t zoom = std::max<int64_t>(1, (kMinSidePx + std::min(height, width) - 1) / std::min(height, width));
  std::vector<at::Tensor> columns;
  for (const at::Tensor& column : pictures) {
    const at::Tensor shown = (column * 255.0).clamp(0.0, 255.0);
    columns.push_back(at::constant_pad_nd(shown.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3),
                                          {0, kGapPx, 0, kGapPx}, 255.0));
  }
  const at::Tensor rows = at::cat(columns, 3);  // (n, C, h', 3 w')
  const int64_t side_by_side = n > 1 ? 2 : 1, lines = (n + side_by_side - 1) / side_by_side;
  std::vector<at::Tensor> pairs;
  for (int64_t line = 0; line < lines; ++line) {
    std::vector<at::Tensor> pair;
    for (int64_t i = line * side_by_side; i < (line + 1) * side_by_side; ++i) {
      pair.push_back(at::constant_pad_nd(i < n ? rows[i] : at::full_like(rows[0], 255.0), {0, 2 * kGapPx}, 255.0));
    }
    pairs.push_back(at::cat(pair, 2));
  }
  at::Tensor paper = at::constant_pad_nd(at::cat(pairs, 1), {kGapPx, 0, kCaptionPx, 0}, 255.0);  // (C, h, w)
  paper = paper.permute({1, 2, 0}).contiguous();

  io::Image panel{paper.size(0), paper.size(1), paper.size(2), {}, 255.0};
  panel.pixels.assign(paper.const_data_ptr<float>(), paper.const_data_ptr<float>() + paper.numel());
  const int64_t column_px = width * zoom + kGapPx, columns_px = static_cast<int64_t>(captions.size()) * column_px;
  for (int64_t pair = 0; pair < side_by_side; ++pair) {
    for (size_t c = 0; c < captions.size(); ++c)
      io::write_caption(panel, kGapPx + pair * (columns_px + 2 * kGapPx) + static_cast<int64_t>(c) * column_px,
                        kCaptionPx - 8, captions[c]);
  }
  return panel;
}

// (256, 3), 0 to 1
at::Tensor colours_of_labels() {
  at::Tensor colours = at::empty({256, 3}, at::kFloat);
  for (int64_t label = 0; label < 256; ++label) {
    const Colour colour = class_colour(static_cast<uint8_t>(label));
    for (size_t c = 0; c < 3; ++c) colours[label][static_cast<int64_t>(c)] = colour[c] / 255.0;
  }
  return colours;
}

void add_labels(const at::Tensor& mask, std::set<uint8_t>& labels) {
  const at::Tensor counts = at::bincount(mask.flatten().to(at::kLong), /*weights=*/{}, /*minlength=*/256);
  for (int64_t label = 0; label < 256; ++label) {
    if (counts[label].item<int64_t>() > 0) labels.insert(static_cast<uint8_t>(label));
  }
}

}  // namespace

io::Image reconstruction_panel(const at::Tensor& image, const nn::MaeOutput& output, const nn::MaeOptions& options,
                               const std::vector<double>& mean, const std::vector<double>& std) {
  const int64_t height = image.size(2), width = image.size(3);
  const at::Tensor hidden =
      // (n, 1, h, w)
      nn::unpatchify(
          output.hidden.unsqueeze(-1).expand({-1, -1, nn::kPatchSize * nn::kPatchSize}).to(at::kFloat).contiguous(),
          height, width);
  const at::Tensor grey = (at::full({1}, 0.5) - per_channel(mean)) / per_channel(std);
  const at::Tensor masked = at::where(hidden > 0.5, grey, image);
  const at::Tensor reconstruction = at::where(hidden > 0.5, pixels_of(output.prediction, image, options), image);

  std::vector<at::Tensor> columns;
  for (const at::Tensor& column : {image, masked, reconstruction})
    columns.push_back(rows_of(column * per_channel(std) + per_channel(mean)));
  return sheet(columns, {"image", "masked", "reconstruction"});
}

at::Tensor overlay(const at::Tensor& image, const at::Tensor& mask) {
  static const at::Tensor colours = colours_of_labels();
  const at::Tensor labels = mask.to(at::kLong), is_foreground = (labels > 0).unsqueeze(1);
  const at::Tensor colour = colours.index({labels}).permute({0, 3, 1, 2});  // (n, 3, h, w)
  // The outline at full strength, so that the image can be judged inside.
  const at::Tensor padded = at::constant_pad_nd(labels, {1, 1, 1, 1}, 0);
  const auto shifted = [&](int64_t dy, int64_t dx) {
    return padded.slice(1, 1 + dy, 1 + dy + labels.size(1)).slice(2, 1 + dx, 1 + dx + labels.size(2));
  };
  const at::Tensor is_edge =
      (labels != shifted(0, 1)) | (labels != shifted(0, -1)) | (labels != shifted(1, 0)) | (labels != shifted(-1, 0));
  const at::Tensor strength = at::where(is_edge.unsqueeze(1), 0.9, 0.25).to(at::kFloat) * is_foreground;
  const at::Tensor rgb = image.size(1) == 3 ? image : image.slice(1, 0, 1).expand({-1, 3, -1, -1});
  return rgb * (1.0 - strength) + colour * strength;
}

io::Image segmentation_panel(const at::Tensor& image, const at::Tensor& truth, const at::Tensor& prediction,
                             const std::vector<std::string>& class_names, const std::vector<double>& mean,
                             const std::vector<double>& std) {
  const at::Tensor shown = (image * per_channel(std) + per_channel(mean)).clamp(0.0, 1.0);
  std::vector<at::Tensor> columns = pictures_of(shown);
  std::vector<std::string> captions;
  for (at::Tensor& column : columns) {
    captions.push_back(columns.size() > 1 ? concat("channel ", captions.size() + 1) : "image");
    column = column.expand({-1, 3, -1, -1});
  }
  columns.insert(columns.end(), {overlay(shown, truth), overlay(shown, prediction)});
  captions.insert(captions.end(), {"mask", "prediction"});
  io::Image panel = sheet(columns, captions);
  std::set<uint8_t> labels;
  add_labels(truth, labels);
  add_labels(prediction, labels);
  draw_legend(panel, legend_of(labels, class_names));
  return panel;
}

io::Image views_panel(const at::Tensor& image, const at::Tensor& a, const at::Tensor& b) {
  std::vector<at::Tensor> columns;
  for (const at::Tensor& column : {image, a, b}) columns.push_back(rows_of(column.cpu()));
  return sheet(columns, {"image", "view 1", "view 2"});
}

io::Image image_panel(const at::Tensor& image, const std::vector<double>& mean, const std::vector<double>& std) {
  constexpr int64_t kPerRow = 4, kCaptionSidePx = 224;
  const int64_t n = image.size(0), columns = std::min(n, kPerRow), rows = (n + columns - 1) / columns,
                side = std::min(image.size(2), image.size(3));
  const int64_t zoom = std::max<int64_t>(1, (kCaptionSidePx + side - 1) / side);
  at::Tensor shown = ((image * per_channel(std) + per_channel(mean)) * 255.0).clamp(0.0, 255.0);
  shown = at::cat(pictures_of(shown), 3);
  shown = at::constant_pad_nd(shown.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3),
                              {kGapPx, kGapPx, kGapPx, kCaptionPx}, 255.0);
  if (rows * columns > n)
    shown = at::cat({shown, at::full({rows * columns - n, shown.size(1), shown.size(2), shown.size(3)}, 255.0)});
  const int64_t c = shown.size(1), h = shown.size(2), w = shown.size(3);
  shown =
      shown.view({rows, columns, c, h, w}).permute({0, 3, 1, 4, 2}).reshape({rows * h, columns * w, c}).contiguous();
  io::Image panel{shown.size(0), shown.size(1), c, {}, 255.0};
  panel.pixels.assign(shown.const_data_ptr<float>(), shown.const_data_ptr<float>() + shown.numel());
  return panel;
}

}  // namespace vmae::run
