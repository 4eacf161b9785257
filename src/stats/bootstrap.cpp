// Units get slots, stratum by stratum, so that drawing from a stratum is counting in one
// stretch of an array; a case's weight is then the count of its unit's slot. Where every
// case is its own slot (single cases, in the order of their strata), counts are the weights.
#include "vmae/stats/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "vmae/core/error.h"
#include "vmae/core/machine.h"
#include "vmae/core/parallel.h"
#include "vmae/core/random.h"

namespace vmae::stats {
namespace {

constexpr size_t kMaxLeftOutSingly = 2000, kNumGroups = 500;

struct Slots {
  std::vector<size_t> stratum_sizes;
  std::vector<uint32_t> slot_of_case;
  size_t num_slots = 0;
  bool are_cases = true;  // case c has slot c
};

Slots slots_of(const Units& units) {
  Slots slots;
  slots.num_slots = units.stratum_of_unit.size();
  for (const uint32_t stratum : units.stratum_of_unit) {
    if (stratum >= slots.num_slots)
      throw Error(ExitCode::internal, concat("stratum ", stratum, " of ", slots.num_slots, " units"));
    slots.stratum_sizes.resize(std::max<size_t>(slots.stratum_sizes.size(), stratum + size_t{1}));
    ++slots.stratum_sizes[stratum];
  }
  std::vector<size_t> next(slots.stratum_sizes.size());
  std::exclusive_scan(slots.stratum_sizes.begin(), slots.stratum_sizes.end(), next.begin(), size_t{0});
  std::vector<uint32_t> slot_of_unit(slots.num_slots);
  for (size_t u = 0; u < slots.num_slots; ++u)
    slot_of_unit[u] = static_cast<uint32_t>(next[units.stratum_of_unit[u]]++);
  for (const uint32_t unit : units.unit_of_case) {
    if (unit >= slots.num_slots) throw Error(ExitCode::internal, concat("unit ", unit, " of ", slots.num_slots));
    slots.are_cases = slots.are_cases && slot_of_unit[unit] == slots.slot_of_case.size();
    slots.slot_of_case.push_back(slot_of_unit[unit]);
  }
  slots.are_cases = slots.are_cases && slots.slot_of_case.size() == slots.num_slots;
  return slots;
}

// Counts n draws from n slots. 32 random bits by a multiplication
// and a shift: a slot's chance is off by less than n / 2^32.
void draw(Random& random, std::span<uint32_t> counts) {
  const uint64_t n = counts.size();
  uint32_t* const count = counts.data();
  for (uint64_t i = 0; i + 1 < n; i += 2) {
    const uint64_t bits = random.bits();
    ++count[((bits & 0xffffffff) * n) >> 32];
    ++count[((bits >> 32) * n) >> 32];
  }
  if (n % 2 == 1) ++count[((random.bits() >> 32) * n) >> 32];
}

void resample(const Slots& slots, Random random, std::span<uint32_t> counts, std::span<uint32_t> weights) {
  const std::span<uint32_t> drawn = slots.are_cases ? weights : counts;
  std::fill(drawn.begin(), drawn.end(), 0);
  size_t begin = 0;
  for (const size_t size : slots.stratum_sizes) {
    draw(random, drawn.subspan(begin, size));
    begin += size;
  }
  if (slots.are_cases) return;
  for (size_t c = 0; c < weights.size(); ++c) weights[c] = counts[slots.slot_of_case[c]];
}

// f(i, weights) for i in [0, n), where fill(i, counts, weights) writes
// the weights. Threads take stretches, each with memory of its own.
template <class Fill, class F>
void for_each_weighting(const Slots& slots, size_t n, int threads, const Fill& fill, const F& f) {
  const size_t stretches = std::min<size_t>(n, 4 * static_cast<size_t>(threads > 0 ? threads : usable_threads()));
  parallel_for(static_cast<int64_t>(stretches), threads, [&](int64_t stretch) {
    const auto s = static_cast<size_t>(stretch);
    std::vector<uint32_t> counts(slots.are_cases ? 0 : slots.num_slots), weights(slots.slot_of_case.size());
    for (size_t i = n * s / stretches; i < n * (s + 1) / stretches; ++i) {
      fill(i, std::span(counts), std::span(weights));
      f(i, std::span<const uint32_t>(weights));
    }
  });
}

// What is left out together: units of one stratum. Groups of a stratum have numbers one after the other.
struct Groups {
  std::vector<uint32_t> group_of_slot;
  std::vector<size_t> groups_of_stratum;
  size_t count = 0;
};

Groups groups_of(const Slots& slots, uint64_t seed) {
  Groups groups;
  Random random(derive_seed(seed, Stream::bootstrap, ~uint64_t{0}));
  for (const size_t size : slots.stratum_sizes) {
    size_t wanted = size;
    if (slots.num_slots > kMaxLeftOutSingly)
      wanted = std::min(size, std::max<size_t>(2, size * kNumGroups / slots.num_slots));
    std::vector<uint32_t> numbers(size);
    for (size_t i = 0; i < size; ++i)
      numbers[i] = static_cast<uint32_t>(groups.count + i % std::max<size_t>(wanted, 1));
    if (wanted < size) {
      for (size_t i = size; i > 1; --i) std::swap(numbers[i - 1], numbers[random.below(i)]);
    }
    groups.group_of_slot.insert(groups.group_of_slot.end(), numbers.begin(), numbers.end());
    groups.groups_of_stratum.push_back(wanted);
    groups.count += wanted;
  }
  return groups;
}

// values[g]: the statistic without group g. A stratum of one group adds nothing: resampling doesn't change it.
double acceleration_of(const std::vector<double>& values, const std::vector<size_t>& groups_of_stratum) {
  double cubes = 0, squares = 0;
  size_t begin = 0;
  for (const size_t size : groups_of_stratum) {
    const auto n = static_cast<double>(size);
    const std::span<const double> stratum = std::span(values).subspan(begin, size);
    begin += size;
    if (size < 2) continue;
    const double mean = std::accumulate(stratum.begin(), stratum.end(), 0.0) / n;
    for (const double value : stratum) {
      const double influence = (n - 1) / n * (mean - value);
      squares += influence * influence;
      cubes += influence * influence * influence;
    }
  }
  return squares > 0 ? cubes / (6 * std::pow(squares, 1.5)) : std::nan("");
}

}  // namespace

Bootstrap bootstrap(const Units& units, size_t num_statistics, const Statistics& statistics,
                    const BootstrapOptions& options) {
  if (options.resamples < 0) throw Error(ExitCode::usage, concat(options.resamples, " resamples"));
  const auto resamples = static_cast<size_t>(options.resamples);
  const double undefined = std::nan("");
  const Slots slots = slots_of(units);
  Bootstrap result{std::vector<double>(num_statistics, undefined),
                   std::vector(num_statistics, std::vector<double>(resamples, undefined)),
                   std::vector<double>(options.accelerates ? num_statistics : 0, undefined), units.num_units()};
  if (slots.slot_of_case.empty()) return result;
  statistics(std::vector<uint32_t>(slots.slot_of_case.size(), 1), result.estimate);

  const auto store_in = [&](std::vector<std::vector<double>>& table) {
    return [&](size_t column, std::span<const uint32_t> weights) {
      std::vector<double> values(num_statistics, undefined);
      statistics(weights, values);
      for (size_t s = 0; s < num_statistics; ++s) table[s][column] = values[s];
    };
  };
  for_each_weighting(
      slots, resamples, options.threads,
      [&](size_t r, auto counts, auto weights) {
        resample(slots, Random(derive_seed(options.seed, Stream::bootstrap, r)), counts, weights);
      },
      store_in(result.resampled));
  if (!options.accelerates) return result;

  const Groups groups = groups_of(slots, options.seed);
  std::vector<std::vector<double>> without(num_statistics, std::vector<double>(groups.count, undefined));
  const auto leave_out = [&](size_t group, auto, std::span<uint32_t> weights) {
    for (size_t c = 0; c < weights.size(); ++c)
      weights[c] = groups.group_of_slot[slots.slot_of_case[c]] == group ? 0 : 1;
  };
  for_each_weighting(slots, groups.count, options.threads, leave_out, store_in(without));
  for (size_t s = 0; s < num_statistics; ++s)
    result.acceleration[s] = acceleration_of(without[s], groups.groups_of_stratum);
  return result;
}

}  // namespace vmae::stats
