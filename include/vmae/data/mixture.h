#pragma once
// The order of an epoch: every sample once, or several sources in given shares.
#include <cstdint>
#include <vector>

namespace vmae::data {

// A permutation of 0..n-1, a pure function of (seed, epoch) (Fisher-Yates); 0, 1, ... without shuffling.
std::vector<int64_t> epoch_order(int64_t n, uint64_t seed, int64_t epoch, bool shuffle);

// Epochs of `length` samples, whatever the size of the dataset: each goes on where the one before
// ended in an endless row of permutations of 0..n-1. A sample comes again before all others have
// come only where one permutation ends and the next begins. A pure function of its arguments.
std::vector<int64_t> part_of_passes(int64_t n, int64_t length, uint64_t seed, int64_t epoch);

// Sources of these sizes follow each other, `length` samples (0: sum(sizes)) make an epoch. Source i
// gives weights[i] / sum(weights) of them (rounded to whole samples by the largest remainder, the same
// in every epoch), each taken from its own permutations, one after the other and on across epochs: all
// of its samples come once before one comes again. A pure function of (sizes, weights, seed, epoch).
// Throws Error(usage) naming data.weights if they don't fit: one per source, none negative, not all 0.
std::vector<int64_t> mixture_order(const std::vector<int64_t>& sizes, const std::vector<double>& weights, uint64_t seed,
                                   int64_t epoch, int64_t length = 0);

// `order` (indices into is_marked), in which at least ceil(share * group) of every `group` samples
// (of the last, smaller group likewise) are marked: where there are fewer, the first unmarked ones
// of the group give way to marked samples from permutations of their own, one after the other, and
// are not seen in this epoch. Nothing marked: `order` itself. A pure function of its arguments.
std::vector<int64_t> marked_order(std::vector<int64_t> order, const std::vector<bool>& is_marked, double share,
                                  int64_t group, uint64_t seed, int64_t epoch);

// For each place of an epoch's order: how often its sample came at earlier places.
std::vector<int64_t> occurrences(const std::vector<int64_t>& order);

}  // namespace vmae::data
