#pragma once
// What only code that sees CUDA's own headers can do, as an interface: libvmae_cuda.so, beside the program, which is
// loaded where an NVIDIA driver is. Everything else goes through ATen's and c10's operators for any device.
#include <c10/core/Device.h>
#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace vmae::cuda {

struct DeviceProperties {
  std::string name;
  std::string uuid;  // the same in every process that sees this GPU
  uint64_t memory_bytes = 0;
  int major = 0, minor = 0;  // of its compute capability
};

// Work on the current stream that was recorded as a CUDA graph; it goes on using the addresses that it was recorded
// with.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual void replay() = 0;
};

class Library {
 public:
  virtual ~Library() = default;
  virtual std::string versions() const = 0;  // "CUDA 13.2, cuDNN 9.26.0, NCCL 2.30.7"
  virtual std::string problem() const = 0;   // why no device can be used; "" where one can
  virtual DeviceProperties properties(c10::DeviceIndex device) const = 0;
  // Of this thread's work, for profilers (NVTX); range.h.
  virtual void push_range(const char* name) const = 0;
  virtual void pop_range() const = 0;
  // For tests: from here on whatever makes the host wait for the device is an error.
  virtual void forbid_waiting(bool is_forbidden) const = 0;
  // Other threads of this process may go on using the device meanwhile.
  virtual std::unique_ptr<Graph> record(const std::function<void()>& work) const = 0;
  virtual c10::intrusive_ptr<c10d::Backend> nccl(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                                 std::chrono::milliseconds timeout) const = 0;
};

// Loads it once, and before the first tensor: LibTorch looks only once which devices there are. Null where there is
// none, or no NVIDIA driver and `driver` asks for one (loading takes time and memory, and brings nothing without).
enum class Driver { needed, not_needed };
const Library* load(Driver driver = Driver::needed);
const Library* library();      // what load() found
std::string why_not_loaded();  // in words; "" where nobody tried
bool has_driver();

}  // namespace vmae::cuda
