#pragma once
// What each rank trains on, compared before NCCL is asked: it would hang, or speak of a "duplicate GPU".
#include <string>
#include <vector>

namespace vmae::train {

struct DeviceOfRank {
  std::string host;
  std::string type;  // "cpu", "cuda"
  std::string uuid;  // of a GPU
};

// Error(usage) names ranks that found a GPU beside those that found none, and ranks that would share one.
void require_fitting_devices(const std::vector<DeviceOfRank>& devices);

}  // namespace vmae::train
