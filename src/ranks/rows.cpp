#include "vmae/ranks/rows.h"

#include <ATen/ops/zeros.h>

#include <algorithm>

namespace vmae::train {

at::Tensor rows_of_all_ranks(const at::Tensor& own, int64_t num_rows, int64_t rank, int64_t ranks,
                             const RankSum& total) {
  std::vector<int64_t> shape = own.sizes().vec();
  shape[0] = num_rows;
  const int64_t count = std::max<int64_t>(0, (num_rows - rank + ranks - 1) / ranks);
  at::Tensor all = at::zeros(shape, own.options());
  all.slice(0, rank, num_rows, ranks).copy_(own.slice(0, 0, count));
  return total(all);
}

}  // namespace vmae::train
