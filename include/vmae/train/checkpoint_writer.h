#pragma once
// Writes snapshots in the background, so that training waits for the copy of the tensors alone.
#include <future>
#include <vector>

#include "vmae/train/checkpoint.h"

namespace vmae::train {

class CheckpointWriter {
 public:
  // Writes them in this order, after those that were given
  // before: it waits for these. Throws what went wrong with them.
  void start(std::vector<Snapshot> snapshots);
  void check();   // throws what went wrong since, without waiting
  void finish();  // waits, and throws what went wrong

 private:
  std::future<void> writing_;  // waits in its destructor: a process ends with whole files
};

}  // namespace vmae::train
