#pragma once
// `vmae bench --loader`.
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>

namespace vmae::run {

struct LoaderBenchArguments {
  std::filesystem::path dataset;  // prepared
  std::filesystem::path plan;     // of nnU-Net, whose preprocessed cases `dataset` then holds; none: empty
  std::string task = "pretrain";  // pretrain, segment, classify: whose augmentations
  int64_t batch = 64, workers = 0, image_size = 224;
  int64_t items = 0;  // the dataset repeated (or cut) to so many; 0: as it is
  double seconds = 5;
};
// Times the loader alone; one line of JSON: images_per_s, images_per_cpu_s (of all threads'
// CPU time), peak_rss_mb (with what is mapped of the dataset), anonymous_mb (without).
void bench_loader(const LoaderBenchArguments& arguments, std::ostream& out);

}  // namespace vmae::run
