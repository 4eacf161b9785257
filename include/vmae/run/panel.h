#pragma once
// Pictures of what a masked autoencoder has learnt: per sample a row of image, what the network saw, and its reconstruction.
#include <vector>

#include "vmae/io/image.h"
#include "vmae/nn/mae.h"

namespace vmae::run {

// image (n, C, h, w) as given to the network, output of its forward pass. mean and std undo the normalisation. Columns: image | masked | reconstruction
// (visible patches from the image, hidden ones from the network). Small images are enlarged to at least 160 pixels, two samples stand side by side.
io::Image reconstruction_panel(const at::Tensor& image, const nn::MaeOutput& output, const nn::MaeOptions& options, const std::vector<double>& mean,
                               const std::vector<double>& std);

}  // namespace vmae::run
