#include "vmae/train/checkpoint_writer.h"

namespace vmae::train {

void CheckpointWriter::start(std::vector<Snapshot> snapshots) {
  finish();
  if (snapshots.empty()) return;
  writing_ = std::async(std::launch::async, [files = std::move(snapshots)] {
    for (const Snapshot& file : files) write(file);
  });
}

void CheckpointWriter::check() {
  if (writing_.valid() && writing_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) writing_.get();
}

void CheckpointWriter::finish() {
  if (writing_.valid()) writing_.get();
}

}  // namespace vmae::train
