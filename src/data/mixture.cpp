// An epoch takes the next so many samples of each source's endless row of permutations, then shuffles them together.
#include "vmae/data/mixture.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <unordered_map>

#include "vmae/core/error.h"
#include "vmae/core/random.h"

namespace vmae::data {
namespace {

void shuffle(std::vector<int64_t>& order, Random random) {
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);  // Fisher-Yates
}

std::vector<int64_t> counts_of(const std::vector<int64_t>& sizes, const std::vector<double>& weights, int64_t total) {
  const bool is_usable = weights.size() == sizes.size() && std::all_of(weights.begin(), weights.end(), [](double w) {
                           return w >= 0 && std::isfinite(w);
                         });
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (!is_usable || !(sum > 0)) {
    throw Error(ExitCode::usage, concat("data.weights has ", weights.size(), " values for ", sizes.size(), " sources"),
                "give one per source of data.train, none negative and not all 0, or leave it empty");
  }
  std::vector<int64_t> counts;
  std::vector<std::pair<double, size_t>> remainders;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 0 && weights[i] > 0)
      throw Error(ExitCode::data, concat("source ", i + 1, " of data.train is empty, but has a weight"));
    const double exact = static_cast<double>(total) * weights[i] / sum;
    counts.push_back(static_cast<int64_t>(exact));
    // the largest first, among equal ones the first source
    remainders.emplace_back(static_cast<double>(counts.back()) - exact, i);
  }
  std::sort(remainders.begin(), remainders.end());
  const int64_t missing = total - std::accumulate(counts.begin(), counts.end(), int64_t{0});
  for (size_t i = 0; i < static_cast<size_t>(missing); ++i) ++counts[remainders[i % remainders.size()].second];
  return counts;
}

// The samples first ... first + count - 1 of an endless row of permutations of
// offset ... offset + size - 1; number k of these is drawn with seed_of(k).
template <class SeedOf>
void add_passes(int64_t offset, int64_t size, int64_t first, int64_t count, const SeedOf& seed_of,
                std::vector<int64_t>& order) {
  std::vector<int64_t> permutation(static_cast<size_t>(size));
  int64_t drawn = -1;
  for (int64_t i = first; i < first + count; ++i) {
    if (i / size != drawn) {
      drawn = i / size;
      std::iota(permutation.begin(), permutation.end(), offset);
      shuffle(permutation, Random(seed_of(drawn)));
    }
    order.push_back(permutation[static_cast<size_t>(i % size)]);
  }
}

}  // namespace

std::vector<int64_t> epoch_order(int64_t n, uint64_t seed, int64_t epoch, bool is_shuffled) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  if (is_shuffled) shuffle(order, Random(derive_seed(seed, Stream::shuffle, epoch)));
  return order;
}

std::vector<int64_t> part_of_passes(int64_t n, int64_t length, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> order;
  add_passes(
      0, n, epoch * length, length, [&](int64_t pass) { return derive_seed(seed, Stream::shuffle, pass); }, order);
  return order;
}

std::vector<int64_t> marked_order(std::vector<int64_t> order, const std::vector<bool>& is_marked, double share,
                                  int64_t group, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> marked;
  for (size_t i = 0; i < is_marked.size(); ++i) {
    if (is_marked[i]) marked.push_back(static_cast<int64_t>(i));
  }
  if (marked.empty()) return order;
  Random random(derive_seed(seed, Stream::mixture, epoch));
  size_t next = marked.size();
  for (size_t begin = 0; begin < order.size(); begin += static_cast<size_t>(group)) {
    const size_t end = std::min(order.size(), begin + static_cast<size_t>(group));
    auto missing = static_cast<int64_t>(std::ceil(share * static_cast<double>(end - begin) - 1e-9));
    for (size_t i = begin; i < end; ++i) missing -= is_marked[static_cast<size_t>(order[i])] ? 1 : 0;
    std::set<int64_t> inside(order.begin() + static_cast<std::ptrdiff_t>(begin),
                             order.begin() + static_cast<std::ptrdiff_t>(end));
    for (size_t i = begin; i < end && missing > 0; ++i) {
      if (is_marked[static_cast<size_t>(order[i])]) continue;
      int64_t candidate = -1;
      // all are inside: it comes again
      for (size_t tried = 0; tried < marked.size() && (candidate < 0 || inside.contains(candidate)); ++tried) {
        if (next == marked.size()) {
          shuffle(marked, random);
          random = Random(random.bits());
          next = 0;
        }
        candidate = marked[next++];
      }
      inside.insert(candidate);
      order[i] = candidate;
      --missing;
    }
  }
  return order;
}

std::vector<int64_t> mixture_order(const std::vector<int64_t>& sizes, const std::vector<double>& weights, uint64_t seed,
                                   int64_t epoch, int64_t length) {
  const std::vector<int64_t> counts =
      counts_of(sizes, weights, length > 0 ? length : std::accumulate(sizes.begin(), sizes.end(), int64_t{0}));
  std::vector<int64_t> order;
  int64_t offset = 0;
  for (size_t source = 0; source < sizes.size(); ++source) {
    const auto seed_of = [&](int64_t pass) { return derive_seed(seed, Stream::mixture, source, pass); };
    add_passes(offset, sizes[source], epoch * counts[source], counts[source], seed_of, order);
    offset += sizes[source];
  }
  shuffle(order, Random(derive_seed(seed, Stream::shuffle, epoch)));
  return order;
}

std::vector<int64_t> occurrences(const std::vector<int64_t>& order) {
  std::unordered_map<int64_t, int64_t> seen;
  std::vector<int64_t> result;
  result.reserve(order.size());
  for (const int64_t index : order) result.push_back(seen[index]++);
  return result;
}

}  // namespace vmae::data
