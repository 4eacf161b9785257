#include "vmae/train/arithmetic.h"

#include <ATen/core/Tensor.h>

#include <atomic>
#include <string_view>
#include <vector>

namespace vmae::train {

namespace {

std::atomic<int64_t> counted = 0;

// (..., m, k) and (..., k, n)
int64_t of_product(const at::Tensor& a, const at::Tensor& b) { return 2 * a.numel() * b.size(-1); }

// Every pixel of the side whose channels are the weight's first dimension (n values: of the output, but where it is
// transposed of the input) is met by all weights of its channel.
int64_t of_convolution(int64_t n, const at::Tensor& weight) { return 2 * n * weight.numel() / weight.size(0); }

// Values of what convolution() returns.
int64_t output_size(at::ArrayRef<const c10::IValue> inputs) {
  const at::Tensor &x = inputs[0].toTensor(), &weight = inputs[1].toTensor();
  const std::vector<int64_t> stride = inputs[3].toIntVector(), padding = inputs[4].toIntVector(),
                             dilation = inputs[5].toIntVector();
  int64_t size = x.size(0) * weight.size(0);
  for (int64_t i = 0; i + 2 < x.dim(); ++i) {
    const auto along = [i](const std::vector<int64_t>& of) { return of[of.size() == 1 ? 0 : static_cast<size_t>(i)]; };
    const int64_t reach = along(dilation) * (weight.size(i + 2) - 1) + 1;
    size *= (x.size(i + 2) + 2 * along(padding) - reach) / along(stride) + 1;
  }
  return size;
}

int64_t flop_of(const at::RecordFunction& function) {
  const std::string_view name = function.name();
  const auto inputs = function.inputs();
  const auto tensor = [&](size_t i) -> const at::Tensor& { return inputs[i].toTensor(); };
  if (name == "aten::mm" || name == "aten::bmm") return of_product(tensor(0), tensor(1));
  if (name == "aten::addmm" || name == "aten::baddbmm") return of_product(tensor(1), tensor(2));
  if (name == "aten::convolution") {
    const bool is_transposed = inputs[6].toBool();
    return of_convolution(is_transposed ? tensor(0).numel() : output_size(inputs), tensor(1));
  }
  if (name == "aten::convolution_backward") {
    const bool is_transposed = inputs[7].toBool();
    const c10::List<bool> wanted = inputs[10].toBoolList();
    return of_convolution(tensor(is_transposed ? 1 : 0).numel(), tensor(2)) * (int64_t{wanted[0]} + int64_t{wanted[1]});
  }
  return 0;
}

std::unique_ptr<at::ObserverContext> count(const at::RecordFunction& function) {
  counted += flop_of(function);
  return nullptr;
}

}  // namespace

ArithmeticCount::ArithmeticCount() {
  counted = 0;
  callback_ = at::addThreadLocalCallback(
      at::RecordFunctionCallback(count).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
}

ArithmeticCount::~ArithmeticCount() { at::removeCallback(callback_); }

int64_t ArithmeticCount::flop() { return counted; }

}  // namespace vmae::train
