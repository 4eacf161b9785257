#pragma once
// Batches from the loader onto the device, with the task's random numbers. On a GPU the next
// batch is copied from pinned memory on a stream of its own while the current one is computed.
#include <functional>
#include <memory>
#include <vector>

#include "vmae/data/loader.h"

namespace vmae::train {

class DeviceInput {
 public:
  using Draws = std::function<std::vector<at::Tensor>(const data::Batch&)>;
  DeviceInput(data::Loader& loader, at::Device device, Draws draws);
  ~DeviceInput();

  bool next(data::Batch& batch);       // as Loader::next()
  void restart(data::Position start);  // as Loader::restart()
  void prefetch();                     // once the work on the current batch has been given to the GPU; nothing on a CPU

 private:
  bool load(data::Batch& batch);
  struct Ahead;
  data::Loader& loader_;
  at::Device device_;
  Draws draws_;
  std::unique_ptr<Ahead> ahead_;
};

}  // namespace vmae::train
