#pragma once
// `vmae bench`: training steps.
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>

namespace vmae::train {
class World;
}

namespace vmae::run {

struct BenchArguments {
  // mae, simclr; a segmenter (9 classes, its loss); swin-classifier (5 classes, cross-entropy)
  std::string model = "mae";
  std::string device = "auto", precision = "auto";
  int64_t batch = 16, steps = 5, warmup = 2, image_size = 224, threads = 0;  // batch: of all ranks
  std::filesystem::path plan;  // of nnunet: nnU-Net's plans.json, whose patches take the place of image_size; or empty
  // where to write one, and time it; empty: none
  std::filesystem::path checkpoint;
  bool cuda_graph = false, deterministic = true;  // as train.cuda_graph and run.deterministic
  std::filesystem::path trace;                    // where to write a trace of one more step; empty: none
};
// Times training steps of the full-size model on random images; one line of JSON: images_per_s (from the
// median step; a GPU is not waited for between steps: from all of them), peak_rss_mb (of a GPU: reserved there),
// first_step_s, step_s, flop_per_image, of GPUs that are known peak_flops (of all of them); of several ranks
// comm_wait_share (of a step, waiting for gradients of other ranks); with `checkpoint`: checkpoint_pause_s (training
// waits for the copy), checkpoint_write_s.
void bench(const BenchArguments& arguments, train::World& world, std::ostream& out);

}  // namespace vmae::run
