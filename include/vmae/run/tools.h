#pragma once
// The commands that work on weights and tensors: forward, export, doctor, bench.
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

namespace vmae::train {
class World;
}

namespace vmae::run {

struct ForwardArguments {
  std::string model = "mae";  // mae, swin-unet, unet, swin-classifier
  std::filesystem::path weights, input, output;
  int64_t seed = 0;                          // of the noise, if the input has none
  std::vector<std::string> model_overrides;  // key=value of the model's options, without "model."
};
// One evaluation-mode forward pass in fp32 over `image` (B, C, H, W). mae: with `noise` (B, units); writes pred, loss (1), mask (B, tokens; 1 = hidden) and
// noise. The others write logits. Keys of other programs' Swin files are renamed, and their conventions followed.
void forward(const ForwardArguments& arguments);

// Weights (of a file or a run) as .safetensors or, for torch.load(weights_only=True), as .pth: told by the extension of `output`.
void export_weights(const std::filesystem::path& weights, const std::filesystem::path& output, bool overwrite);

// Versions, devices, threads, memory, instruction sets, and what is wrong. Returns false if something is.
bool doctor(std::ostream& out);
// Every rank's host, device and threads, and sums over ranks, checked and timed. Returns false if something is wrong.
bool doctor_distributed(train::World& world, const std::string& device, double timeout_s, std::ostream& out);

struct BenchArguments {
  std::string model = "mae";  // mae; swin-unet (9 classes, Dice + cross-entropy); swin-classifier (5 classes, cross-entropy)
  std::string device = "auto", precision = "auto";
  int64_t batch = 16, steps = 5, warmup = 2, image_size = 224, threads = 0;  // batch: of all ranks
  std::filesystem::path checkpoint;                                          // where to write one, and time it; empty: none
};
// Times training steps of the full-size model on random images; one line of JSON: images_per_s (from the median step), peak_rss_mb, step_s; of several ranks
// comm_wait_share (of a step, waiting for gradients of other ranks); with `checkpoint`: checkpoint_pause_s (training waits for the copy), checkpoint_write_s.
void bench(const BenchArguments& arguments, train::World& world, std::ostream& out);

struct LoaderBenchArguments {
  std::filesystem::path dataset;  // prepared
  std::string task = "pretrain";  // pretrain, segment, classify: whose augmentations
  int64_t batch = 64, workers = 0, image_size = 224;
  int64_t items = 0;  // the dataset repeated (or cut) to so many; 0: as it is
  double seconds = 5;
};
// Times the loader alone; one line of JSON: images_per_s, images_per_cpu_s (of all threads' CPU time), peak_rss_mb (with what is mapped of the dataset),
// anonymous_mb (without).
void bench_loader(const LoaderBenchArguments& arguments, std::ostream& out);

struct EvalBenchArguments {
  std::string what;  // auroc: the bootstrap of one; findings: of several and their mean; delong: the paired test; hd95: of a volume of 512 x 512 x 300
  int64_t cases = 100000, findings = 14, resamples = 1000, threads = 0;  // delong and hd95: one thread
};
// Times one calculation of `vmae eval`, once, on made-up cases; one line of JSON: seconds, value (delong: z), low, high (95 % percentile or DeLong interval),
// peak_rss_mb.
void bench_eval(const EvalBenchArguments& arguments, std::ostream& out);

}  // namespace vmae::run
