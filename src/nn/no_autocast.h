#pragma once
#include <ATen/autocast_mode.h>

namespace vmae::nn {

// While in scope operations work in the type of their inputs: no casting underneath them.
class NoAutocast {
 public:
  explicit NoAutocast(at::DeviceType device) : device_(device), before_(at::autocast::is_autocast_enabled(device)) {
    at::autocast::set_autocast_enabled(device, false);
  }
  ~NoAutocast() { at::autocast::set_autocast_enabled(device_, before_); }
  NoAutocast(const NoAutocast&) = delete;
  NoAutocast& operator=(const NoAutocast&) = delete;

 private:
  at::DeviceType device_;
  bool before_;
};

}  // namespace vmae::nn
