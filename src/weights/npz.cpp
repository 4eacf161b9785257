#include "vmae/weights/npz.h"

#include <torch/types.h>

#include <algorithm>
#include <numeric>

#include "input_file.h"
#include "npy.h"
#include "scalar_type.h"

namespace vmae::weights {
namespace {

at::Tensor read_numbers(const NpyHeader& header, ZipEntry& entry) {
  std::vector<int64_t> shape = header.shape;  // as the numbers lie
  if (header.is_column_by_column) std::reverse(shape.begin(), shape.end());
  const at::ScalarType type = scalar_type(*header.dtype);
  const bool is_boolean = type == at::kBool;  // as bytes, which a damaged file may have others of than 0 and 1
  at::Tensor numbers = at::empty(shape, is_boolean ? at::kByte : type);
  entry.read(numbers.mutable_data_ptr(), numbers.nbytes());
  entry.expect_end();
  if (is_boolean) numbers = numbers.ne(0);
  if (!header.is_column_by_column) return numbers;
  std::vector<int64_t> last_first(shape.size());
  std::iota(last_first.rbegin(), last_first.rend(), 0);
  return numbers.permute(last_first).contiguous();
}

}  // namespace

TensorFile read_npz(const std::filesystem::path& path) {
  return guarded(path, [&] {
    TensorFile file;
    for_each_npy(path, [&](const std::string& name, const NpyHeader& header, ZipEntry& entry) {
      file.tensors.emplace_back(name, read_numbers(header, entry));
    });
    return file;
  });
}

}  // namespace vmae::weights
