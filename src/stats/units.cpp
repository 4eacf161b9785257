#include <map>
#include <set>
#include <unordered_map>

#include "vmae/core/error.h"
#include "vmae/stats/bootstrap.h"

namespace vmae::stats {

Units units_of(size_t num_cases, std::span<const std::string> patients, std::span<const uint32_t> strata) {
  if (!patients.empty() && patients.size() != num_cases)
    throw Error(ExitCode::data, concat(num_cases, " cases, but ", patients.size(), " patients"));
  if (!strata.empty() && strata.size() != num_cases)
    throw Error(ExitCode::data, concat(num_cases, " cases, but ", strata.size(), " strata"));
  Units units;
  units.unit_of_case.resize(num_cases);
  uint32_t num_units = 0;
  std::unordered_map<std::string, uint32_t> unit_of_patient;
  for (size_t c = 0; c < num_cases; ++c) {
    if (patients.empty() || patients[c].empty()) {
      units.unit_of_case[c] = num_units++;
    } else {
      const auto [at, is_new] = unit_of_patient.try_emplace(patients[c], num_units);
      units.unit_of_case[c] = at->second;
      num_units += is_new ? 1 : 0;
    }
  }
  units.stratum_of_unit.assign(num_units, 0);
  if (strata.empty()) return units;

  std::vector<std::set<uint32_t>> strata_of_unit(num_units);
  for (size_t c = 0; c < num_cases; ++c) strata_of_unit[units.unit_of_case[c]].insert(strata[c]);
  std::map<std::set<uint32_t>, uint32_t> numbers;
  for (uint32_t u = 0; u < num_units; ++u) {
    units.stratum_of_unit[u] =
        numbers.try_emplace(strata_of_unit[u], static_cast<uint32_t>(numbers.size())).first->second;
  }
  return units;
}

}  // namespace vmae::stats
