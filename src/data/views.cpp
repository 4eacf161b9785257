#include "vmae/data/views.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/argsort.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/reflection_pad2d.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <algorithm>
#include <array>

namespace vmae::data {

namespace {

at::Tensor per_sample(const at::Tensor& values) { return values.view({-1, 1, 1, 1}); }

at::Tensor scaled(const at::Tensor& draw, double low, double high) { return draw * (high - low) + low; }

// Brightness, contrast and saturation are blends: with black, with the mean of the grey image, with the grey image.
at::Tensor blend(const at::Tensor& image, const at::Tensor& step, const ViewChanges& changes) {
  const bool is_colour = image.size(1) == 3;
  const at::Tensor grey = is_colour ? to_grey(image) : image;
  const at::Tensor mean = grey.mean(at::IntArrayRef({1, 2, 3}), /*keepdim=*/true);
  const at::Tensor is_contrast = per_sample(step == static_cast<int64_t>(Jitter::contrast));
  at::Tensor other = at::where(is_contrast, mean, 0.0);
  if (is_colour) other = at::where(per_sample(step == static_cast<int64_t>(Jitter::saturation)), grey, other);
  const int64_t num_blends = is_colour ? 3 : 2;
  const at::Tensor factor =
      at::where(step < num_blends, changes.factors.gather(1, step.clamp_max(2).unsqueeze(1)).squeeze(1), 1.0);
  const at::Tensor share = per_sample(factor);
  return (image * share + other * (1.0 - share)).clamp(0.0, 1.0);
}

at::Tensor jittered(at::Tensor image, const ViewChanges& changes, const ViewOptions& options) {
  const bool turns_hue = image.size(1) == 3 && options.hue > 0;
  for (int64_t place = 0; place < 4; ++place) {
    const at::Tensor step = changes.order.select(1, place);
    at::Tensor next = blend(image, step, changes);
    if (turns_hue) {
      const at::Tensor is_hue = per_sample(step == static_cast<int64_t>(Jitter::hue));
      next = at::where(is_hue, adjust_hue(image, changes.hue), next);
    }
    image = next;
  }
  return image;
}

int64_t taps_of(const at::Tensor& image) { return 2 * (std::min(image.size(2), image.size(3)) / 20) + 1; }

}  // namespace

ViewChanges view_changes(const at::Tensor& draws, const ViewOptions& options) {
  const auto draw = [&](int64_t column) { return draws.select(1, column); };
  const auto factor = [&](int64_t column, double strength) {
    return scaled(draw(column), std::max(0.0, 1.0 - strength), 1.0 + strength);
  };
  return {.jitters = draw(0) < options.jitter,
          .order = at::argsort(draws.slice(1, 1, 5), /*stable=*/true, /*dim=*/1),
          .factors =
              at::stack({factor(5, options.brightness), factor(6, options.contrast), factor(7, options.saturation)}, 1),
          .hue = scaled(draw(8), -options.hue, options.hue),
          .becomes_grey = draw(9) < options.grey,
          .is_blurred = draw(10) < options.blur,
          .sigma = scaled(draw(11), options.blur_sigma[0], options.blur_sigma[1])};
}

at::Tensor changed(const at::Tensor& image, const ViewChanges& changes, const ViewOptions& options) {
  // half precision would round what has eight or more bits
  const c10::impl::ExcludeDispatchKeyGuard in_float32(c10::autocast_dispatch_keyset);
  at::Tensor view = image.clamp(0.0, 1.0);
  if (options.jitter > 0) view = at::where(per_sample(changes.jitters), jittered(view, changes, options), view);
  if (options.grey > 0 && view.size(1) == 3) view = at::where(per_sample(changes.becomes_grey), to_grey(view), view);
  const int64_t taps = taps_of(view);
  if (options.blur == 0 || taps == 1) return view;
  return at::where(per_sample(changes.is_blurred), gaussian_blur(view, changes.sigma, taps), view);
}

// ITU-R BT.601, with the digits of torchvision.
at::Tensor to_grey(const at::Tensor& image) {
  const at::Tensor grey = 0.2989 * image.select(1, 0) + 0.587 * image.select(1, 1) + 0.114 * image.select(1, 2);
  return grey.unsqueeze(1);
}

// By way of hue, saturation and value (Smith 1978).
at::Tensor adjust_hue(const at::Tensor& image, const at::Tensor& turn) {
  const at::Tensor red = image.select(1, 0), green = image.select(1, 1), blue = image.select(1, 2);
  const at::Tensor value = image.amax(1), range = value - image.amin(1);
  const at::Tensor is_grey = range == 0;
  const at::Tensor saturation = range / at::where(value == 0, 1.0, value);
  const at::Tensor divisor = at::where(is_grey, 1.0, range);
  const at::Tensor by_red = (value - red) / divisor, by_green = (value - green) / divisor,
                   by_blue = (value - blue) / divisor;
  // sixths of the circle from red
  const at::Tensor sixths = at::where(value == red, by_blue - by_green,
                                      at::where(value == green, 2.0 + by_red - by_blue, 4.0 + by_green - by_red));
  const at::Tensor hue = ((sixths / 6.0).remainder(1.0) + turn.view({-1, 1, 1})).remainder(1.0);
  // Each colour falls from the value to the value minus the range, by its distance on the circle.
  const auto colour = [&](double from) {
    const at::Tensor place = (from + hue * 6.0).remainder(6.0);
    return value - value * saturation * at::minimum(place, 4.0 - place).clamp(0.0, 1.0);
  };
  return at::stack({colour(5.0), colour(3.0), colour(1.0)}, 1);
}

at::Tensor gaussian_blur(const at::Tensor& image, const at::Tensor& sigma, int64_t taps) {
  const int64_t b = image.size(0), c = image.size(1), h = image.size(2), w = image.size(3), edge = taps / 2;
  const at::Tensor place = at::arange(-edge, edge + 1, image.options());
  at::Tensor kernel = (-0.5 * (place / sigma.unsqueeze(1)).square()).exp();
  kernel = (kernel / kernel.sum(1, /*keepdim=*/true)).repeat_interleave(c, 0);  // (B C, taps)
  // every channel of every sample is a channel of one image
  at::Tensor blurred =
      at::reflection_pad2d(image, {edge, edge, edge, edge}).view({1, b * c, h + 2 * edge, w + 2 * edge});
  const at::Tensor no_bias;
  const std::array<int64_t, 2> one{1, 1}, none{0, 0};
  blurred = at::conv2d(blurred, kernel.view({b * c, 1, taps, 1}), no_bias, one, none, one, b * c);
  blurred = at::conv2d(blurred, kernel.view({b * c, 1, 1, taps}), no_bias, one, none, one, b * c);
  return blurred.view({b, c, h, w});
}

}  // namespace vmae::data
