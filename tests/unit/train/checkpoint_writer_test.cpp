#include "vmae/train/checkpoint_writer.h"

#include <gtest/gtest.h>
#include <algorithm>
#include <thread>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace vmae::train {
namespace {

Snapshot snapshot(const std::filesystem::path& file, double value) {
  return {file, {{"x", at::full({1000}, value)}}, {}};
}
double value_in(const std::filesystem::path& file) {
  return weights::read_safetensors(file).tensors.at(0).second[0].item<double>();
}

TEST(CheckpointWriter, WritesInOrderWhileTheTensorsChange) {
  const test::TempFolder folder;
  CheckpointWriter writer;
  at::Tensor trained = at::zeros({1 << 18});
  for (int i = 1; i <= 8; ++i) {
    torch::nn::Module module;
    trained.fill_(i);
    module.register_buffer("x", trained);
    writer.start(
        {take_weights(folder.path() / "a", module, {}), take_weights(folder.path() / concat("step", i), module, {})});
    // training goes on, in code that ThreadSanitizer sees
    std::fill_n(trained.mutable_data_ptr<float>(), trained.numel(), -1.0F);
  }
  writer.finish();
  EXPECT_EQ(value_in(folder.path() / "a"), 8);
  for (int i = 1; i <= 8; ++i) EXPECT_EQ(value_in(folder.path() / concat("step", i)), i);
}

TEST(CheckpointWriter, AFailureIsNotLost) {
  const test::TempFolder folder;
  CheckpointWriter writer;
  writer.start({snapshot(folder.path() / "missing" / "x", 1)});
  EXPECT_EQ(test::error_of([&] { writer.finish(); }).code(), ExitCode::checkpoint);
  writer.finish();  // told once
  writer.start({snapshot(folder.path() / "missing" / "x", 1)});
  EXPECT_EQ(test::error_of([&] { writer.start({snapshot(folder.path() / "y", 2)}); }).code(), ExitCode::checkpoint);
  writer.start({snapshot(folder.path() / "missing" / "x", 1)});
  const Error error = test::error_of([&] {
    for (int i = 0; i < 10000; ++i) {
      writer.check();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  EXPECT_EQ(error.code(), ExitCode::checkpoint);
}

TEST(CheckpointWriter, TheEndWaits) {
  const test::TempFolder folder;
  {
    CheckpointWriter writer;
    writer.start({{folder.path() / "large", {{"x", at::ones({8 << 20})}}, {}}});
  }
  EXPECT_EQ(value_in(folder.path() / "large"), 1);
}

}  // namespace
}  // namespace vmae::train
