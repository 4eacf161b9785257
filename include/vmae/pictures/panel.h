#pragma once
// Pictures of what a model has learnt: per sample a row of image, what the network saw or should
// have found, and what it made of it. One channel is grey, three are colours; of other numbers the
// first four are shown, each in grey, beside each other (reconstruction_panel: below each other).
#include <string>
#include <vector>

#include "vmae/image/image.h"
#include "vmae/nn/mae.h"

namespace vmae::run {

// image (n, C, h, w) as given to the network, output of its forward pass. mean and std undo the
// normalisation. Columns: image | masked | reconstruction (visible patches from the image, hidden ones
// from the network). Small images are enlarged to at least 160 pixels, two samples stand side by side.
io::Image reconstruction_panel(const at::Tensor& image, const nn::MaeOutput& output, const nn::MaeOptions& options,
                               const std::vector<double>& mean, const std::vector<double>& std);

// image as above; truth and prediction (n, h, w) uint8 classes. Columns: image (or channel 1 | channel 2 | ...) | mask
// | prediction, classes in colour over the image or its first channel. A legend below names those that are there.
io::Image segmentation_panel(const at::Tensor& image, const at::Tensor& truth, const at::Tensor& prediction,
                             const std::vector<std::string>& class_names, const std::vector<double>& mean,
                             const std::vector<double>& std);

// image, a, b (n, C, h, w), values 0 to 1: images and two views of each. Columns: image | view 1 | view 2.
io::Image views_panel(const at::Tensor& image, const at::Tensor& a, const at::Tensor& b);

// The images alone (channels beside each other), four in a row, with room for a caption below each.
io::Image image_panel(const at::Tensor& image, const std::vector<double>& mean, const std::vector<double>& std);

// Classes (n, h, w) in colour over images (n, 1 or 3, h, w) with
// values 0 to 1: outlines, and a light tint inside. (n, 3, h, w)
at::Tensor overlay(const at::Tensor& image, const at::Tensor& mask);

}  // namespace vmae::run
