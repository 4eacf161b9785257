// Patients are put into one line: those with the same labels stand together, the rarest label first of
// all, then the rarest of the rest, and so on; within such a group by a hash of seed and patient, that
// is, at random but whatever the order of the input. A part is then taken from the line at even steps (as
// a line is drawn on pixels, Bresenham 1965), so that of any stretch of the line, and so of every group,
// a part gets its share rounded down or up, and of the whole line exactly its size. With several labels
// per patient the groups of rare labels are whole stretches, those of frequent ones a few stretches each.
#include "vmae/splits/splits.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <set>
#include <sstream>

#include "vmae/core/crc32c.h"
#include "vmae/core/error.h"
#include "vmae/core/random.h"
#include "vmae/core/text.h"
#include "vmae/sources/patients.h"

namespace vmae::io {
namespace {

struct Patient {
  std::string id;
  std::set<std::string> labels;    // of all cases
  std::vector<std::string> names;  // of the cases
  std::vector<size_t> group;       // ranks of the labels, rarest first
  uint64_t draw = 0;
};

using Line = std::vector<const Patient*>;

enum Purpose : uint64_t { folds, test, val, fraction };  // what a starting point is drawn for

// FNV-1a: the place of a patient follows from its own name, not from its number in a list.
uint64_t hash(const std::string& text) {
  uint64_t value = 0xcbf29ce484222325ULL;
  for (const unsigned char c : text) value = (value ^ c) * 0x100000001b3ULL;
  return value;
}

std::vector<Patient> gather(const std::vector<SplitCase>& cases) {
  std::map<std::string, Patient> patients;
  for (const SplitCase& one : cases) {
    Patient& patient = patients[one.patient];
    patient.id = one.patient;
    patient.labels.insert(one.labels.begin(), one.labels.end());
    patient.names.push_back(one.name);
  }
  std::vector<Patient> list;
  for (auto& [id, patient] : patients) list.push_back(std::move(patient));
  return list;
}

// Label -> its rank: 0 for the one that the fewest patients have.
std::map<std::string, size_t> rank_by_rarity(const std::vector<Patient>& patients) {
  std::map<std::string, size_t> count;
  for (const Patient& patient : patients) {
    for (const auto& label : patient.labels) ++count[label];
  }
  std::vector<std::pair<size_t, std::string>> order;
  for (const auto& [label, n] : count) order.emplace_back(n, label);
  std::sort(order.begin(), order.end());
  std::map<std::string, size_t> rank;
  for (size_t i = 0; i < order.size(); ++i) rank[order[i].second] = i;
  return rank;
}

Line line_up(std::vector<Patient>& patients, bool stratify, uint64_t seed) {
  const auto rank = stratify ? rank_by_rarity(patients) : std::map<std::string, size_t>{};
  Line line;
  for (Patient& patient : patients) {
    if (stratify) {
      for (const auto& label : patient.labels) patient.group.push_back(rank.at(label));
      std::sort(patient.group.begin(), patient.group.end());
    }
    patient.draw = derive_seed(seed, Stream::split, hash(patient.id));
    line.push_back(&patient);
  }
  std::sort(line.begin(), line.end(), [](const Patient* a, const Patient* b) {
    return std::tie(a->group, a->draw, a->id) < std::tie(b->group, b->draw, b->id);
  });
  return line;
}

// Nearest integer to percent of n, but at least one, and at least one left over.
size_t share(size_t n, int64_t percent) {
  const size_t nearest = (2 * n * static_cast<size_t>(percent) + 100) / 200;
  return std::clamp<size_t>(nearest, 1, n - 1);
}

// Takes m patients out of the line, at even steps.
Line take(Line& line, size_t m, uint64_t key) {
  const size_t n = line.size(), start = Random(key).below(n);
  Line taken, left;
  for (size_t i = 0; i < n; ++i) ((i * m + start) % n < m ? taken : left).push_back(line[i]);
  line = std::move(left);
  return taken;
}

std::vector<std::string> names_of(const Line& line) {
  std::vector<std::string> names;
  for (const Patient* patient : line) names.insert(names.end(), patient->names.begin(), patient->names.end());
  std::sort(names.begin(), names.end());
  return names;
}

// From the largest down, each out of the one before, so that they are nested.
std::map<int64_t, std::vector<std::string>> fractions_of(Line line, std::vector<int64_t> percents, uint64_t key) {
  std::sort(percents.rbegin(), percents.rend());
  std::map<int64_t, std::vector<std::string>> fractions;
  const size_t all = line.size();
  for (const int64_t percent : percents) {
    if (percent == 100) continue;
    const size_t wanted = std::max<size_t>(1, (2 * all * static_cast<size_t>(percent) + 100) / 200);
    line = take(line, std::min(wanted, line.size()), derive_seed(key, percent));
    fractions[percent] = names_of(line);
  }
  return fractions;
}

void check(const SplitOptions& options) {
  if (options.scheme != "kfold" && options.folds != 5) {
    throw Error(ExitCode::usage,
                concat("split.folds = ", options.folds, " does not go with split.scheme = ", options.scheme),
                "set split.scheme=kfold");
  }
  if (std::set<int64_t>(options.fractions.begin(), options.fractions.end()).size() != options.fractions.size()) {
    throw Error(ExitCode::usage, "split.fractions names a fraction twice");
  }
}

// Percents of training, validation and test part: "72/8/20", or "90/10" without a test part.
struct Percents {
  int64_t train = 0, val = 0, test = 0;
};

Percents percents_of(const std::string& scheme) {
  const auto fail = [&](const std::string& what) {
    throw Error(ExitCode::usage, concat("split.scheme = ", scheme, what),
                "5fold, kfold, or whole percents that sum to 100: TRAINING/VALIDATION/TEST as in 80/10/10, or "
                "TRAINING/VALIDATION as in 90/10");
  };
  std::vector<int64_t> numbers;
  std::istringstream parts(scheme + "/");
  for (std::string text; std::getline(parts, text, '/');) {
    const auto number = parse_integer(trim(text));
    if (!number || *number < 0 || *number > 100) fail(concat(": '", text, "' is not a whole number from 0 to 100"));
    numbers.push_back(*number);
  }
  if (numbers.size() != 2 && numbers.size() != 3)
    fail(concat(" has ", numbers.size(), numbers.size() == 1 ? " part" : " parts", ", not two or three"));
  const int64_t sum = std::accumulate(numbers.begin(), numbers.end(), int64_t{0});
  if (sum != 100) fail(concat(": the parts sum to ", sum, ", not to 100"));
  if (numbers[0] == 0 || numbers[0] == 100)
    fail(numbers[0] == 0 ? ": nobody is left to train on" : ": nobody validates, and nobody is tested");
  return {numbers[0], numbers[1], numbers.size() == 3 ? numbers[2] : 0};
}

// Where a scheme needs more patients than there are.
void require_patients(size_t n, size_t needed, const std::string& scheme) {
  if (n >= needed) return;
  throw Error(
      ExitCode::data,
      concat("split.scheme = ", scheme, " needs at least ", needed, " patients, one in each part; there are ", n),
      "without a `patient` column every case counts as a patient of its own; or choose another scheme");
}

}  // namespace

Splits make_splits(const std::vector<SplitCase>& cases, const SplitOptions& options) {
  check(options);
  std::set<std::string> names;
  for (const SplitCase& one : cases) {
    if (!names.insert(one.name).second)
      throw Error(ExitCode::data, "the case " + one.name + " comes twice", "names of cases must differ");
  }
  std::vector<Patient> patients = gather(cases);
  const bool has_labels = std::any_of(cases.begin(), cases.end(), [](const auto& one) { return !one.labels.empty(); });
  if (options.stratify == "label" && !has_labels) {
    throw Error(ExitCode::data, "split.stratify = label, but no case has a label",
                "set split.stratify=none, or give labels");
  }
  const auto seed = static_cast<uint64_t>(options.seed);
  Splits splits;
  splits.is_stratified = has_labels && options.stratify != "none";
  const bool has_folds = options.scheme == "kfold" || options.scheme == "5fold";
  splits.scheme = has_folds ? concat(options.folds, "fold") : options.scheme;
  splits.seed = options.seed;
  splits.num_cases = static_cast<int64_t>(cases.size());
  PatientCount count;
  for (const SplitCase& one : cases) count.add(one.patient, one.is_patient_known);
  splits.num_patients = static_cast<int64_t>(count.number().value_or(0));
  splits.is_by_patient = count.number().has_value();
  const Line line = line_up(patients, splits.is_stratified, seed);
  splits.checksum = case_checksum(names_of(line));

  const auto key = [&](Purpose purpose, size_t fold) { return derive_seed(seed, Stream::split, purpose, fold); };
  const auto add_fold = [&](Line train, const Line& validating, const Line& testing) {
    const size_t fold = splits.folds.size();
    splits.folds.push_back({names_of(train), names_of(validating), names_of(testing),
                            fractions_of(train, options.fractions, key(Purpose::fraction, fold))});
  };
  const size_t n = line.size();
  if (!has_folds) {
    const Percents percents = percents_of(options.scheme);
    splits.scheme = concat(percents.train, "/", percents.val, percents.test > 0 ? concat("/", percents.test) : "");
    const size_t num_others = (percents.val > 0 ? 1 : 0) + (percents.test > 0 ? 1 : 0);
    require_patients(n, 1 + num_others, splits.scheme);
    Line train = line, validating, testing;
    if (percents.test > 0)
      testing = take(train, std::min(share(n, percents.test), n - num_others), key(Purpose::test, 0));
    if (percents.val > 0)
      validating = take(train, std::min(share(n, percents.val), train.size() - 1), key(Purpose::val, 0));
    add_fold(train, validating, testing);
  } else {
    const auto k = static_cast<size_t>(options.folds);
    require_patients(n, k == 2 ? 4 : std::max<size_t>(k, 3), splits.scheme);
    const size_t start = Random(key(Purpose::folds, 0)).below(k);
    for (size_t fold = 0; fold < k; ++fold) {
      Line train, testing;
      for (size_t i = 0; i < n; ++i) ((i + start) % k == fold ? testing : train).push_back(line[i]);
      const Line validating = take(train, share(train.size(), 10), key(Purpose::val, fold));
      add_fold(train, validating, testing);
    }
  }
  return splits;
}

namespace {

// How many of the patients with a label validate, out of how many.
struct Share {
  double wanted = 0;
  int64_t all = 0, chosen = 0;
  bool misses_a_side() const { return all == chosen || (all >= 2 && chosen == 0); }
  // What is worst counts most: nobody to train on, then nobody to validate on, then a count far from its share.
  double cost() const {
    const double off = static_cast<double>(chosen) - wanted;
    return (all == chosen ? 1e6 : 0) + (all >= 2 && chosen == 0 ? 1e3 : 0) + off * off / wanted;
  }
};

class Balance {
 public:
  Balance(const Line& chosen, const Line& others, double fraction) : chosen_(chosen), others_(others) {
    for (const Line* line : {&chosen_, &others_}) {
      for (const Patient* patient : *line) {
        for (const size_t label : patient->group) {
          if (label >= shares_.size()) shares_.resize(label + 1);
          ++shares_[label].all;
          shares_[label].chosen += line == &chosen_ ? 1 : 0;
        }
      }
    }
    for (Share& one : shares_) one.wanted = std::max(1e-9, fraction * static_cast<double>(one.all));
  }

  // Exchanges patients of the two sides until each label that can be on both sides is; the rarest labels first.
  void mend() {
    for (size_t label = 0; label < shares_.size(); ++label) {
      if (shares_[label].misses_a_side()) exchange_for(label);
    }
  }

  const Line& chosen() const { return chosen_; }

 private:
  static bool has(const Patient* patient, size_t label) {
    return std::binary_search(patient->group.begin(), patient->group.end(), label);
  }

  double gain(const Patient* goes, const Patient* comes) {
    const double before = cost_of(goes) + cost_of(comes);
    move(goes, -1);
    move(comes, 1);
    const double after = cost_of(goes) + cost_of(comes);
    move(goes, 1);
    move(comes, -1);
    return before - after;
  }
  void move(const Patient* patient, int64_t by) {
    for (const size_t label : patient->group) shares_[label].chosen += by;
  }
  double cost_of(const Patient* patient) const {
    double cost = 0;
    for (const size_t label : patient->group) cost += shares_[label].cost();
    return cost;
  }

  void exchange_for(size_t label) {
    const bool is_wanted = shares_[label].chosen == 0;  // among those who validate; else among those who train
    double best = 1e-9;
    std::pair<size_t, size_t> pair;
    for (size_t i = 0; i < chosen_.size(); ++i) {
      if (!is_wanted && !has(chosen_[i], label)) continue;
      for (size_t k = 0; k < others_.size(); ++k) {
        if (is_wanted && !has(others_[k], label)) continue;
        const double gained = gain(chosen_[i], others_[k]);
        if (gained > best) {
          best = gained;
          pair = {i, k};
        }
      }
    }
    if (best <= 1e-9) return;
    move(chosen_[pair.first], -1);
    move(others_[pair.second], 1);
    std::swap(chosen_[pair.first], others_[pair.second]);
  }

  Line chosen_, others_;
  std::vector<Share> shares_;  // by rank of the label
};

}  // namespace

std::set<std::string> draw_validation(const std::vector<SplitCase>& cases, double fraction, uint64_t seed) {
  std::vector<Patient> patients = gather(cases);
  const bool has_labels = std::any_of(cases.begin(), cases.end(), [](const auto& one) { return !one.labels.empty(); });
  Line others = line_up(patients, has_labels, seed);
  const size_t n = others.size();
  if (n == 0) return {};
  const size_t m = std::clamp<size_t>(static_cast<size_t>(std::lround(static_cast<double>(n) * fraction)), 1, n);
  Line chosen;
  if (has_labels) {
    chosen = take(others, m, derive_seed(seed, Stream::split, Purpose::val));
    Balance balance(chosen, others, static_cast<double>(m) / static_cast<double>(n));
    balance.mend();
    chosen = balance.chosen();
  } else {
    chosen.assign(others.begin(), others.begin() + static_cast<std::ptrdiff_t>(m));
  }
  std::set<std::string> ids;
  for (const Patient* patient : chosen) ids.insert(patient->id);
  return ids;
}

std::string case_checksum(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  uint32_t crc = 0;
  for (const auto& name : names) crc = crc32c(name.c_str(), name.size() + 1, crc);
  char text[16];
  std::snprintf(text, sizeof(text), "%08x", static_cast<unsigned>(crc));
  return "crc32c:" + std::string(text);
}

}  // namespace vmae::io
