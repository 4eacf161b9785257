#include "vmae/nn/segmenters.h"

#include "vmae/core/error.h"
#include "vmae/nn/conv_unet.h"
#include "vmae/nn/nnunet.h"
#include "vmae/nn/transunet.h"
#include "vmae/nn/unet.h"

namespace vmae::nn {

SegmenterModule make_segmenter(const std::string& name, const UnetOptions& options) {
  const auto of = [](auto net) { return SegmenterModule{net.ptr(), net.get()}; };
  if (name == "swin-unet") return of(SwinUnet(options));
  if (name == "unet") return of(ConvUnet(options));
  if (name == "transunet") return of(TransUnet(options));
  if (name == "nnunet") return of(NnUnet(options));
  throw Error(ExitCode::internal, "no network is called " + name);
}

}  // namespace vmae::nn
