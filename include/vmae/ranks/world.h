#pragma once
// One process or many that train together (data parallel, on c10d: NCCL for GPUs, Gloo for CPUs and for what is
// said beside the training). Alone, every function below is the identity. Collectives (marked C) are called by
// all ranks in the same order. They throw LostContact when a rank is gone or does not answer within the time-out.
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "vmae/core/error.h"
#include "vmae/core/launch.h"

namespace vmae::train {

struct LostContact : Error {
  explicit LostContact(const std::string& what);
};

// From this rank's sums to those of all ranks, with gradient: d total / d own
// sum = 1, so that the gradients of all ranks add up to that of the total.
using RankSum = std::function<at::Tensor(const at::Tensor&)>;

class World {
 public:
  World();                               // alone
  explicit World(const Launch& launch);  // finds the other ranks' store; from here on a failure of any rank reaches all
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int64_t rank() const;
  int64_t size() const;
  bool is_first() const { return rank() == 0; }
  const Launch& launch() const;

  // C. Waits for all ranks, divides the CPUs among those that share them (share_threads()), and
  // opens the process group for tensors on `device` and on the CPU. Called again it changes nothing.
  void connect(at::Device device, double timeout_s);

  bool any(bool value);          // C: true on every rank if on one
  void sum(at::Tensor& values);  // C: in place, over all ranks
  // what it returns is C, in its forward pass; counts false: this rank adds 0, and its gradient is 0
  RankSum total(bool counts);
  // likewise, C in its backward pass too: d total / d own sum is that of the losses of all ranks together, for
  // sums on which what other ranks compute depends (statistics of a batch norm)
  RankSum total_with_gradients(bool counts);
  void broadcast(std::vector<at::Tensor> tensors);           // C: those of rank 0, in place
  std::string broadcast(const std::string& text);            // C: that of rank 0
  std::vector<std::string> gather(const std::string& text);  // C: those of all ranks by rank, on every rank
  // C: rank 0 works, for however long; its result on every rank
  std::string from_first(const std::function<std::string()>& work);

  // C. From here on backward(loss, true) leaves in the parameters the sum over ranks
  // of all gradients since the last one. The layout of the messages is fixed here, so
  // that a resumed run adds in the same order. compress: gradients travel as bf16.
  void share_gradients(const std::vector<at::Tensor>& parameters, bool compress);
  void keep_gradients();                                    // the end of that; before the parameters go
  void backward(const at::Tensor& loss, bool synchronise);  // C if `synchronise`
  // on CPUs: time in backward() after the last own gradient, waiting for the other ranks
  double gradient_wait_s() const;

  // Leaves together with all others (C), and later calls behave as alone.
  void finish();
  // Tells the other ranks of an error and ends all of them: rank 0 prints
  // it, and the process ends with the error's exit code. Alone: returns.
  void fail(const Error& error);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vmae::train
