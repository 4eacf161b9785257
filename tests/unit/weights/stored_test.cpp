// read_stored() against the readers of the numbers: of every kind of file, the same names, kinds, shapes and metadata.
#include "vmae/weights/stored.h"

#include <gtest/gtest.h>

#include "helpers.h"
#include "support/source_path.h"
#include "support/temp_folder.h"
#include "vmae/weights/nnunet_checkpoint.h"
#include "vmae/weights/npz.h"
#include "vmae/weights/pth.h"
#include "vmae/weights/weights.h"

namespace vmae::weights {
namespace {

std::filesystem::path golden_file(const std::string& name) { return test::source_path("tests/golden/" + name); }

void expect_alike(const std::filesystem::path& path, const TensorFile& whole) {
  const StoredWeights stored = read_stored(path);
  EXPECT_EQ(stored.metadata, whole.metadata) << path;
  ASSERT_EQ(stored.tensors.size(), whole.tensors.size()) << path;
  for (size_t i = 0; i < whole.tensors.size(); ++i) {
    const auto& [name, tensor] = stored.tensors[i];
    EXPECT_EQ(name, whole.tensors[i].first);
    EXPECT_EQ(at::IntArrayRef(tensor.shape), whole.tensors[i].second.sizes()) << name;
    EXPECT_EQ(tensor.numel(), whole.tensors[i].second.numel()) << name;
    EXPECT_EQ(tensor.dtype->bytes, whole.tensors[i].second.element_size()) << name;
    EXPECT_EQ(tensor.dtype->name, c10::getDtypeNames(whole.tensors[i].second.scalar_type()).first) << name;
  }
}

// A tensor of every kind that `is_written`.
NamedTensors every_dtype(bool (*is_written)(const Dtype& dtype)) {
  constexpr std::array kTypes{at::kFloat,         at::kDouble,        at::kHalf,   at::kBFloat16, at::kLong,
                              at::kInt,           at::kShort,         at::kChar,   at::kByte,     at::kBool,
                              at::kComplexFloat,  at::kComplexDouble, at::kUInt16, at::kUInt32,   at::kUInt64,
                              at::kFloat8_e4m3fn, at::kFloat8_e5m2};
  static_assert(kTypes.size() == kDtypes.size());
  NamedTensors tensors{{"transposed", torch::randn({3, 4}).t()}, {"empty", torch::zeros({0, 2})}};
  for (size_t i = 0; i < kTypes.size(); ++i) {
    if (is_written(kDtypes[i])) tensors.emplace_back(concat("t.", i), torch::ones({2, 3}).to(kTypes[i]));
  }
  return tensors;
}

TEST(Stored, AsTheNumbersAreRead) {
  for (const char* name : {"pth/reference_style.pth", "pth/plain_state_dict.pth", "pth/fp16.pth", "pth/evil.pth"})
    expect_alike(golden_file(name), read_pth(golden_file(name)));
  for (const char* name : {"npz/arrays.npz", "npz/compressed.npz", "npz/columns.npz"})
    expect_alike(golden_file(name), read_npz(golden_file(name)));
  expect_alike(golden_file("pth/expected.safetensors"), read_safetensors(golden_file("pth/expected.safetensors")));
  expect_alike(golden_file("nnunet_checkpoint.pth"), read_nnunet_checkpoint(golden_file("nnunet_checkpoint.pth")));
}

TEST(Stored, EveryKindOfNumber) {
  const test::TempFolder folder;
  const std::filesystem::path path = folder.path() / "a";
  const Metadata metadata{{"model", "mae"}, {"epoch", "3"}};
  write_pth(path, every_dtype([](const Dtype& dtype) { return dtype.has_storage_class; }), metadata);
  expect_alike(path, read_pth(path));
  write_safetensors(path, every_dtype([](const Dtype& dtype) { return !dtype.safetensors.empty(); }), metadata);
  expect_alike(path, read_safetensors(path));
}

TEST(Stored, RefusesWhatTheReadersRefuse) {
  EXPECT_EQ(error_of([] { read_stored(golden_file("npz/objects.npz")); }),
            error_of([] { read_npz(golden_file("npz/objects.npz")); }));
  const test::TempFolder folder;
  const std::filesystem::path path = folder.path() / "a.pth";
  for (const std::string& bytes : {std::string(), std::string("hello"), std::string("\x80\x02\x8a"),
                                   test::slurp(golden_file("pth/evil.pth")).substr(0, 700)}) {
    write_bytes(path, bytes);
    EXPECT_NE(error_of([&] { read_weights(path); }), "no error");
    EXPECT_EQ(error_of([&] { read_stored(path); }), error_of([&] { read_weights(path); }));
  }
}

}  // namespace
}  // namespace vmae::weights
