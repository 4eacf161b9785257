#pragma once
// What every rank has a part of, whole on every rank.
#include "vmae/ranks/world.h"

namespace vmae::train {

// Rank r has the rows r, r + ranks, ... of `num_rows`; a rank that has none brings one that counts nothing, and a
// `total` that says so (World::total()). own (n, ...) -> (num_rows, ...), in the order of one process. C. Its gradient
// is that of the own rows alone: where every rank computes the same loss of all rows, the ranks' gradients add up to
// that of one process, but those of parameters behind this, which every rank computes whole, are ranks times too large.
at::Tensor rows_of_all_ranks(const at::Tensor& own, int64_t num_rows, int64_t rank, int64_t ranks,
                             const RankSum& total);

}  // namespace vmae::train
