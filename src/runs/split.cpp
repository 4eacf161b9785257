#include "vmae/runs/split.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "vmae/cases/channels.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/json_text.h"
#include "vmae/core/log.h"
#include "vmae/runs/source_notes.h"
#include "vmae/sources/patients.h"
#include "vmae/splits/splits_file.h"

namespace vmae::run {

namespace {

bool is_test(const io::SourceFile& file) { return file.split == "test"; }

// Says who trains or validates. nnU-Net and Decathlon folders only mark test images.
bool has_splits(const std::vector<io::SourceFile>& files) {
  return std::any_of(files.begin(), files.end(),
                     [](const auto& file) { return !file.split.empty() && !is_test(file); });
}

// Of a source with splits only the files of one part; of any other all that are not for testing.
std::vector<io::SourceFile> part(std::vector<io::SourceFile> files, const char* name) {
  const bool by_name = has_splits(files);
  std::erase_if(files, [&](const auto& file) { return by_name ? file.split != name : is_test(file); });
  return files;
}

// The files of all sources; what they call their masks and labels goes to `splits`.
std::vector<std::vector<io::SourceFile>> list_all(const std::vector<std::string>& paths,
                                                  const std::vector<std::string>& findings, SourceSplits& splits,
                                                  const SettleSource& settle, bool is_first = true) {
  std::vector<std::vector<io::SourceFile>> lists;
  for (const std::string& path : paths) {
    io::Source source = io::find_source(path, "auto", findings);
    const std::vector<std::string> names = splits.mask_names();
    const bool says_otherwise =
        (!source.mask_names.empty() && !names.empty() && source.mask_names != names) ||
        (source.ignore_label >= 0 && splits.ignore_label >= 0 && source.ignore_label != splits.ignore_label);
    if (says_otherwise) {
      splits.mask_conflict = concat(path, " calls its mask values 1, 2, ... [", join(source.mask_names, ", "),
                                    "] (ignored: ", source.ignore_label, "), but another source [", join(names, ", "),
                                    "] (ignored: ", splits.ignore_label, ")");
    }
    log_remarks(source);
    if (!source.mask_names.empty()) splits.mask_names_of_sources.push_back(source.mask_names);
    if (splits.ignore_label < 0) splits.ignore_label = source.ignore_label;
    if (splits.regions.empty()) splits.regions = source.regions;
    if (is_first && lists.empty()) splits.channel_names = source.channel_names;
    if (source.channel_names != splits.channel_names) {
      splits.channel_conflict = concat(path, " has the channels [", join(source.channel_names, ", "),
                                       "], but another source has [", join(splits.channel_names, ", "), "]");
    }
    if (is_first && lists.empty()) {
      splits.label_names = source.label_names;
      splits.is_multi_label = source.is_multi_label;
    } else if (source.label_names != splits.label_names) {
      splits.label_conflict = concat(path, " has the labels [", join(source.label_names, ", "),
                                     "], but another source has [", join(splits.label_names, ", "), "]");
    }
    splits.identifying.insert(splits.identifying.end(), source.identifying.begin(), source.identifying.end());
    splits.layouts.push_back(source.layout);
    splits.refused.insert(splits.refused.end(), source.refused.begin(), source.refused.end());
    splits.remarks.insert(splits.remarks.end(), source.remarks.begin(), source.remarks.end());
    if (is_first) splits.label_names_of_sources.push_back(source.label_names);
    if (settle) settle(source.files, is_first);
    lists.push_back(std::move(source.files));
  }
  return lists;
}

// Folds of a manifest or a dataset.json: one of them validates, the others train.
bool has_folds(const std::vector<io::SourceFile>& files) {
  return std::any_of(files.begin(), files.end(), [](const auto& file) { return file.fold >= 0; });
}

std::pair<std::vector<io::SourceFile>, std::vector<io::SourceFile>> by_fold(const std::vector<io::SourceFile>& files,
                                                                            int64_t fold) {
  std::pair<std::vector<io::SourceFile>, std::vector<io::SourceFile>> parts;
  std::set<int64_t> folds;
  for (const auto& file : files) {
    if (file.fold < 0)
      throw Error(ExitCode::data, concat(file.name, " is in no fold, but others are"),
                  "give all a fold, or none; or make a division with `vmae split` and data.splits");
    folds.insert(file.fold);
    (file.fold == fold ? parts.second : parts.first).push_back(file);
  }
  if (!folds.contains(fold)) {
    std::vector<std::string> known;
    for (const int64_t one : folds) known.push_back(std::to_string(one));
    throw Error(ExitCode::usage, concat("data.fold = ", fold, ": the data have the folds ", join(known, ", ")),
                "choose one of these");
  }
  log::info(concat("the data say their folds: fold ", fold, " validates (data.fold), ", parts.second.size(), " of ",
                   files.size(), " cases"));
  return parts;
}

// Who validates, and a line about it.
std::set<std::string> drawn(const std::vector<io::SplitCase>& cases, double val_fraction, uint64_t seed) {
  std::set<std::string> validating = io::draw_validation(cases, val_fraction, seed);
  io::PatientCount some;
  bool has_labels = false;
  size_t num_cases = 0;
  for (const io::SplitCase& one : cases) {
    const bool validates = validating.contains(one.patient);
    if (validates) some.add(one.patient, one.is_patient_known);
    num_cases += validates ? 1 : 0;
    has_labels |= !one.labels.empty();
  }
  log::info(concat("data.val_fraction = ", val_fraction, ": validation takes ", num_cases, " of ", cases.size(),
                   " files", some.suffix(), has_labels ? ", stratified by label" : ""));
  return validating;
}

// Without sources for validation: by the splits that are there, and by patient in all other sources.
void divide(const std::vector<std::vector<io::SourceFile>>& lists, double val_fraction, uint64_t seed, int64_t fold,
            SourceSplits& splits) {
  std::vector<io::SplitCase> cases;
  for (size_t source = 0; source < lists.size(); ++source) {
    if (has_splits(lists[source]) || has_folds(part(lists[source], ""))) continue;
    for (const io::SourceFile& file : part(lists[source], ""))
      cases.push_back(split_case(file, splits.label_names_of_sources[source]));
  }
  std::set<std::string> validating;
  if (val_fraction > 0.0 && !cases.empty()) validating = drawn(cases, val_fraction, seed);
  for (const auto& files : lists) {
    if (has_splits(files)) {
      splits.train.push_back(part(files, "train"));
      splits.val.push_back(part(files, "val"));
      continue;
    }
    if (val_fraction > 0.0 && has_folds(part(files, ""))) {
      auto [train, val] = by_fold(part(files, ""), fold);
      splits.train.push_back(std::move(train));
      splits.val.push_back(std::move(val));
      continue;
    }
    splits.train.emplace_back();
    splits.val.emplace_back();
    for (const auto& file : part(files, ""))
      (validating.contains(file.patient) ? splits.val : splits.train).back().push_back(file);
  }
}

// The part of `fold` that trains: all of it, or one of its fractions.
const std::vector<std::string>& training_names(const io::SplitFold& fold, const SplitChoice& choice) {
  if (choice.label_fraction == 100) return fold.train;
  const auto it = fold.fractions.find(choice.label_fraction);
  if (it != fold.fractions.end()) return it->second;
  std::vector<std::string> known;
  for (const auto& [percent, names] : fold.fractions) known.push_back(std::to_string(percent));
  known.emplace_back("100");
  throw Error(ExitCode::usage,
              concat(choice.section, ".label_fraction = ", choice.label_fraction, ": ", choice.file, ", fold ",
                     choice.fold, ", has ", join(known, ", ")),
              "choose one of these, or make the file again with split.fractions");
}

// The order is that of `files`, so that equal parts train alike whatever file says so.
std::vector<io::SourceFile> named(const std::vector<io::SourceFile>& files, const std::vector<std::string>& names) {
  const std::set<std::string> wanted(names.begin(), names.end());
  std::vector<io::SourceFile> found;
  std::copy_if(files.begin(), files.end(), std::back_inserter(found),
               [&](const auto& file) { return wanted.contains(file.name); });
  return found;
}

// Files of splits that were made when every channel was a case of its own name all of them.
bool names_further_channels(const io::Splits& splits, const std::vector<io::SourceFile>& files) {
  std::set<std::string> further;
  for (const auto& file : files) {
    for (const auto& channel : file.channels) further.insert(channel.name);
  }
  const auto names_one = [&](const std::vector<std::string>& names) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return further.contains(name); });
  };
  return std::any_of(splits.folds.begin(), splits.folds.end(), [&](const io::SplitFold& fold) {
    return names_one(fold.train) || names_one(fold.val) || names_one(fold.test);
  });
}

// That all of them, and only they, are divided is made sure. files: none that is marked as test.
io::Splits splits_of(const std::vector<io::SourceFile>& files, const SplitChoice& choice) {
  io::Splits splits = io::read_splits(choice.file);
  const std::vector<io::SourceFile> single = io::single_channels(files);
  std::vector<io::SplitCase> cases;
  for (const auto& file : names_further_channels(splits, files) ? single : files)
    cases.push_back({file.name, file.patient, {}});
  io::check_splits(splits, choice.file, cases);
  return splits;
}

TrainVal split_by_file(std::vector<io::SourceFile> files, const SplitChoice& choice) {
  std::vector<io::SourceFile> test;
  std::copy_if(files.begin(), files.end(), std::back_inserter(test), is_test);
  std::erase_if(files, is_test);
  const io::Splits splits = splits_of(files, choice);
  if (choice.fold < 0 || choice.fold >= static_cast<int64_t>(splits.folds.size())) {
    throw Error(ExitCode::usage,
                concat("data.fold = ", choice.fold, ": ", choice.file, " has folds 0 to ", splits.folds.size() - 1));
  }
  const io::SplitFold& fold = splits.folds[static_cast<size_t>(choice.fold)];
  log::info(concat(choice.file, ": fold ", choice.fold, " of ", splits.folds.size(), ", ", choice.label_fraction,
                   " % of its training part"));
  if (!fold.test.empty()) test = named(files, fold.test);
  TrainVal parts{named(files, training_names(fold, choice)), named(files, fold.val), std::move(test), {}};
  std::set<std::string> used;
  for (const auto* one : {&parts.train, &parts.val, &parts.test}) {
    for (const auto& file : *one) used.insert(file.name);
  }
  std::copy_if(files.begin(), files.end(), std::back_inserter(parts.unused),
               [&](const auto& file) { return !used.contains(file.name); });
  return parts;
}

// A fold is one of data.splits, or of the data themselves, where nothing else says who validates.
void check_fold(const SplitChoice& choice, const std::vector<std::vector<io::SourceFile>>& train,
                const std::vector<std::string>& val) {
  const bool says_folds = std::any_of(train.begin(), train.end(), [](const auto& files) { return has_folds(files); });
  if (choice.fold != 0 && (!says_folds || !val.empty()))
    throw Error(ExitCode::usage,
                concat("data.fold = ", choice.fold,
                       " chooses from data.splits, or from folds that the data name; there are none"),
                "make that file with `vmae split`: data.splits=splits.json");
}

// Who a file belongs to, across sources: the patient, or where
// patients are not known (then it is the name) the file itself.
std::string identity(const io::SourceFile& file) {
  if (file.patient != file.name) return "patient " + file.patient;
  if (file.prepared_case >= 0) return "case " + file.name;
  std::error_code unreadable;
  const auto canonical = std::filesystem::weakly_canonical(file.path, unreadable);
  return "file " + (unreadable ? file.path : canonical).string();
}

// Parts whose patients are called in several ways can't be held against each other.
void tell_incomparable(const SourceSplits& splits) {
  std::set<std::string> train, others;
  for (const auto& files : splits.train) {
    if (!files.empty()) train.insert(naming_of(files[0]));
  }
  for (const auto& files : splits.val) {
    if (!files.empty()) others.insert(naming_of(files[0]));
  }
  others.insert(train.begin(), train.end());
  if (others.size() > 1)
    log::warning(
        "patients are called differently in these sources (files; prepared datasets with salts of their own): whether "
        "one of them is in several parts "
        "can't be told. Prepare all with one salt (prepare.salt_file), or train and validate on one source");
}

void require_training(const std::vector<std::string>& sources, const SourceSplits& splits) {
  size_t num_val = 0;
  for (const auto& files : splits.val) num_val += files.size();
  for (size_t source = 0; source < sources.size(); ++source) {
    if (!splits.train[source].empty()) continue;
    throw Error(ExitCode::data,
                concat("data.train = ", sources[source], ": no file is left to train on, ", num_val, " validate"),
                "give more patients, or lower data.val_fraction");
  }
}

void add_identities(const std::vector<io::SourceFile>& files, std::set<std::string>& seen) {
  for (const auto& file : files) seen.insert(identity(file));
}

void require_new(const std::vector<io::SourceFile>& files, const char* part, const std::set<std::string>& seen,
                 const char* seen_part) {
  for (const auto& file : files) {
    if (!seen.contains(identity(file))) continue;
    throw Error(
        ExitCode::data,
        concat(part, " file ", file.name, " is also a ", seen_part, " file, or its patient has ", seen_part, " files"),
        "a file or patient may be in one split only: correct the manifest, data.train, data.val or data.test");
  }
}

// Nobody is in two parts.
void require_apart(const SourceSplits& splits) {
  std::set<std::string> trained, validated;
  for (const auto& files : splits.train) add_identities(files, trained);
  for (const auto& files : splits.val) {
    require_new(files, "validation", trained, "training");
    add_identities(files, validated);
  }
  require_new(splits.test, "test", trained, "training");
  require_new(splits.test, "test", validated, "validation");
}

void make_channels_single(SourceSplits& splits) {
  for (auto* lists : {&splits.train, &splits.val}) {
    for (auto& files : *lists) files = io::single_channels(files);
  }
  for (auto* files : {&splits.test, &splits.unused}) *files = io::single_channels(*files);
  splits.channel_names.clear();
  splits.channel_conflict.clear();
}

}  // namespace

void check_choice(const SplitChoice& choice, const std::vector<std::string>& train,
                  const std::vector<std::string>& val) {
  if (!choice.file.empty() && train.size() > 1) {
    throw Error(ExitCode::usage, concat("data.splits divides one source, but data.train has ", train.size()),
                "train on one source, or leave data.splits empty");
  }
  if (!choice.file.empty() && !val.empty()) {
    throw Error(ExitCode::usage, "data.splits and data.val are both set, and both say who validates",
                "leave one of them empty");
  }
  if (choice.file.empty() && choice.label_fraction != 100) {
    throw Error(ExitCode::usage,
                concat("data.fold = ", choice.fold, " and data.label_fraction = ", choice.label_fraction,
                       " choose from data.splits, which is not set"),
                "make that file with `vmae split`: data.splits=splits.json");
  }
  if (train.empty())
    throw Error(ExitCode::usage, "data.train is not set",
                "give a folder of images or a manifest CSV: data.train=/path/to/images");
}

SourceSplits split_sources(const std::vector<std::string>& train, const std::vector<std::string>& val,
                           double val_fraction, uint64_t seed, const SplitChoice& choice, const SettleSource& settle) {
  check_choice(choice, train, val);
  SourceSplits splits;
  auto lists = list_all(train, choice.findings, splits, settle);
  if (!choice.file.empty()) {
    TrainVal parts = split_by_file(std::move(lists[0]), choice);
    splits.train = {std::move(parts.train)};
    splits.val = {std::move(parts.val)};
    splits.test = std::move(parts.test);
    splits.unused = std::move(parts.unused);
  } else {
    check_fold(choice, lists, val);
    for (const auto& files : lists) std::copy_if(files.begin(), files.end(), std::back_inserter(splits.test), is_test);
    if (val.empty()) {
      divide(lists, val_fraction, seed, choice.fold, splits);
    } else {
      for (auto& files : lists) splits.train.push_back(part(std::move(files), "train"));
      for (auto& files : list_all(val, choice.findings, splits, settle, /*is_first=*/false))
        splits.val.push_back(part(std::move(files), "val"));
    }
  }
  tell_incomparable(splits);
  require_training(train, splits);
  require_apart(splits);
  std::erase_if(splits.val, [](const auto& files) { return files.empty(); });
  if (choice.single_channels) make_channels_single(splits);
  return splits;
}

TrainVal split_train_val(const std::string& train, const std::string& val, double val_fraction, uint64_t seed,
                         const SplitChoice& choice) {
  const auto list = [](const std::string& source) {
    return source.empty() ? std::vector<std::string>{} : std::vector{source};
  };
  return flat(split_sources(list(train), list(val), val_fraction, seed, choice));
}

TrainVal flat(SourceSplits splits) {
  const auto join_lists = [](std::vector<std::vector<io::SourceFile>>& lists) {
    std::vector<io::SourceFile> files;
    for (auto& list : lists) std::move(list.begin(), list.end(), std::back_inserter(files));
    return files;
  };
  return {join_lists(splits.train), join_lists(splits.val), std::move(splits.test), std::move(splits.unused)};
}

std::set<std::string> names_in_any_fold(std::vector<io::SourceFile> files, const SplitChoice& choice) {
  std::erase_if(files, is_test);
  std::set<std::string> names;
  const io::Splits splits = splits_of(files, choice);
  SplitChoice of_fold = choice;
  for (of_fold.fold = 0; of_fold.fold < std::ssize(splits.folds); ++of_fold.fold) {
    const io::SplitFold& fold = splits.folds[static_cast<size_t>(of_fold.fold)];
    const std::vector<std::string>& train = training_names(fold, of_fold);
    names.insert(train.begin(), train.end());
    names.insert(fold.val.begin(), fold.val.end());
  }
  return names;
}

void require_separate(const TrainVal& split, const std::vector<io::SourceFile>& files, const std::string& part_name) {
  std::set<std::string> seen;
  for (const auto* one : {&split.train, &split.val}) {
    for (const auto& file : *one) seen.insert(identity(file));
  }
  for (const auto& file : files) {
    if (!seen.contains(identity(file))) continue;
    throw Error(ExitCode::data,
                concat(part_name, " file ", file.name, " or its patient is also in training or validation"),
                "a file or patient may be in one split only: correct the manifest, data.train, data.val or data.test");
  }
}

std::string naming_of(const io::SourceFile& file) {
  if (file.prepared_case < 0) return "";
  std::error_code ignored;
  const std::filesystem::path folder =
      std::filesystem::is_directory(file.path, ignored) ? file.path : file.path.parent_path();
  if (!std::filesystem::is_regular_file(folder / "plan.json", ignored)) return folder.string();
  if (access((folder / "plan.json").c_str(), R_OK) != 0) return folder.string();  // shared without it
  const auto plan = nlohmann::json::parse(read_file(folder / "plan.json"), nullptr, /*allow_exceptions=*/false);
  return plan.is_object() && plan.contains("salt") && plan["salt"].is_string() ? plan["salt"].get<std::string>()
                                                                               : folder.string();
}

io::SplitCase split_case(const io::SourceFile& file, const std::vector<std::string>& label_names) {
  io::SplitCase one{file.name, file.patient, {}, file.is_patient_known};
  for (size_t k = 0; k < std::min(file.labels.size(), label_names.size()); ++k) {
    if (file.labels[k] == 1.0F) one.labels.push_back(label_names[k]);
  }
  return one;
}

void write_splits(const std::filesystem::path& file, const TrainVal& split) {
  auto names = [](const std::vector<io::SourceFile>& files) {
    nlohmann::json list = nlohmann::json::array();
    for (const auto& source : files) list.push_back(source.name);
    return list;
  };
  nlohmann::ordered_json splits = {{"train", names(split.train)}, {"val", names(split.val)}};
  if (!split.test.empty()) splits["test"] = names(split.test);
  write_file_atomically(file, json_text(splits, 1) + "\n");
}

}  // namespace vmae::run
