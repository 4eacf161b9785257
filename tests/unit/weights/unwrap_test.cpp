#include "vmae/weights/unwrap.h"

#include <gtest/gtest.h>

#include "helpers.h"
#include "support/temp_folder.h"
#include "vmae/weights/pth.h"
#include "vmae/weights/transfer.h"
#include "vmae/weights/weights.h"

namespace vmae::weights {
namespace {

NamedTensors named(const std::vector<std::string>& names) {
  NamedTensors tensors;
  for (const std::string& name : names)
    tensors.emplace_back(name, torch::full({2}, static_cast<double>(tensors.size())));
  return tensors;
}
std::vector<std::string> keys(const NamedTensors& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  return names;
}
const std::vector<std::string> kNetwork{"patch_embed.proj.weight", "patch_embed.proj.bias",
                                        "layers.0.blocks.0.norm1.weight", "head.weight", "scale"};
const std::vector<std::string> kTorchvision{"features.0.0.weight", "features.1.0.norm1.weight", "head.weight"};
const std::vector<std::string> kTransformers{"embeddings.patch_embeddings.projection.weight",
                                             "encoder.layers.0.blocks.0.layernorm_before.weight", "layernorm.weight"};
std::vector<std::string> after(const std::string& prefix, std::vector<std::string> names) {
  for (std::string& name : names) name = prefix + name;
  return names;
}

// Names after unwrap(), through both formats.
std::vector<std::string> names_of(const std::vector<std::string>& written) {
  const test::TempFolder folder;
  const auto pth = folder.path() / "a.pth", safetensors = folder.path() / "a.safetensors";
  write_pth(pth, named(written));
  write_safetensors(safetensors, named(written), {});
  const TensorFile a = read_weights(pth), b = read_weights(safetensors);
  EXPECT_EQ(first_difference(a.tensors, b.tensors), "");
  return keys(a.tensors);
}
std::string said(const std::vector<std::string>& written) {
  TensorFile file{named(written), {}};
  return unwrap(file, "w");
}

TEST(Unwrap, EveryPrefixInBothFormats) {
  for (const char* prefix : {"",
                             "module.",
                             "_orig_mod.",
                             "model.",
                             "net.",
                             "network.",
                             "encoder.",
                             "backbone.",
                             "state_dict.",
                             "swin_unet.",
                             "my.own.name.",
                             "module._orig_mod.",
                             "_orig_mod.module.",
                             "module.module.",
                             "model._orig_mod.",
                             "model.module.",
                             "state_dict.module.model.",
                             "_forward_module.model.",
                             "_fsdp_wrapped_module._orig_mod.",
                             "module.backbone."}) {
    EXPECT_EQ(names_of(after(prefix, kNetwork)), kNetwork) << prefix;
    EXPECT_EQ(names_of(after(prefix, kTorchvision)), kTorchvision) << prefix;
    EXPECT_EQ(names_of(after(prefix, kTransformers)), kTransformers) << prefix;
    if (*prefix == '\0') {
      EXPECT_EQ(said(kNetwork), "");
    } else {
      EXPECT_TRUE(
          contains(said(after(prefix, kNetwork)), concat("weights w: removed \"", prefix, "\" from 5 of 5 names")))
          << said(after(prefix, kNetwork));
    }
  }
}

TEST(Unwrap, WrappersWithinNames) {
  EXPECT_EQ(names_of({"patch_embed.proj.weight", "layers.0._checkpoint_wrapped_module.blocks.0.norm1.weight",
                      "layers.1._orig_mod._fsdp_wrapped_module.a"}),
            (std::vector<std::string>{"patch_embed.proj.weight", "layers.0.blocks.0.norm1.weight", "layers.1.a"}));
  EXPECT_TRUE(
      contains(said({"patch_embed.proj.weight", "layers.1._orig_mod.a"}), "removed \"._orig_mod.\" from 1 of 2 names"));
  // A part of a network may be called like that behind the front, and a tensor anywhere.
  const std::vector<std::string> own{"patch_embed.proj.weight", "layers.module.a", "layers.model.b", "x.module",
                                     "module"};
  EXPECT_EQ(names_of(own), own);
}

TEST(Unwrap, NamesWithoutThePrefixStay) {
  EXPECT_EQ(names_of({"model.patch_embed.proj.weight", "model.head.weight", "loss.weight", "modelled.a"}),
            (std::vector<std::string>{"patch_embed.proj.weight", "head.weight", "loss.weight", "modelled.a"}));
  EXPECT_TRUE(contains(said({"model.patch_embed.proj.weight", "model.head.weight", "loss.weight", "b", "c", "d"}),
                       "removed \"model.\" from 2 of 6 names, which a wrapper put there; without it, and kept as they "
                       "are: loss.weight, b, c, ..."));
  EXPECT_EQ(names_of({"patch_embed.proj.weight", "module.head.weight"}),
            (std::vector<std::string>{"patch_embed.proj.weight", "head.weight"}));
  const std::vector<std::string> beside{"patch_embed.proj.weight", "ema.patch_embed.proj.weight"};
  EXPECT_EQ(names_of(beside), beside) << "what stands beside a network that has no prefix is not it";
}

TEST(Unwrap, WithoutAFirstWeightAllNamesMustHaveIt) {
  EXPECT_EQ(names_of({"module.a", "module.b"}), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(names_of({"model.net.a", "model.net.b"}), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(names_of({"model.a", "other.b"}), (std::vector<std::string>{"model.a", "other.b"}));
  EXPECT_EQ(names_of({"layers.a", "layers.b"}), (std::vector<std::string>{"layers.a", "layers.b"}));
}

TEST(Unwrap, TwoTensorsOfOneNameAndTwoNetworksAreRefused) {
  const auto error_for = [](const std::vector<std::string>& names) {
    TensorFile file{named(names), {}};
    const std::string error = error_of([&] { unwrap(file, "w"); });
    EXPECT_EQ(keys(file.tensors), names) << "unchanged";
    return error;
  };
  EXPECT_TRUE(contains(error_for({"module.a", "a"}),
                       "two tensors are called \"a\" without what wrappers put before it: module.a, a"));
  EXPECT_TRUE(contains(error_for({"model.patch_embed.proj.weight", "model.head.bias", "head.bias"}),
                       "two tensors are called \"head.bias\""));
  EXPECT_TRUE(contains(error_for({"student.patch_embed.proj.weight", "teacher.patch_embed.proj.weight"}),
                       "holds several networks, under student., teacher."));
}

}  // namespace
}  // namespace vmae::weights
