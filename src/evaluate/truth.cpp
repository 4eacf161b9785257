// The truth: label maps or labels of a source, or label maps by themselves; and which prediction belongs to which.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "input.h"
#include "source_truth.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/core/path_problem.h"
#include "vmae/core/utf8_text.h"
#include "vmae/dicom/masks.h"
#include "vmae/image/file_name.h"
#include "vmae/image/picture.h"
#include "vmae/sources/case_names.h"
#include "vmae/sources/csv.h"
#include "vmae/sources/dataset_json.h"
#include "vmae/sources/patients.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

bool is_label_file(const fs::path& path) { return io::kind_of(path) != io::FileKind::other; }

// "_0003"
std::string channel_suffix(int64_t channel) {
  const std::string digits = std::to_string(channel);
  return concat("_", std::string(4 - digits.size(), '0'), digits);
}

// Files below `folder` that may be label maps, in any order.
std::vector<fs::path> label_files(const fs::path& folder) {
  const io::Listing listing = io::list_folder(folder);
  for (const fs::path& unreadable : listing.unreadable) log::warning(unreadable.string() + " can't be listed");
  std::vector<std::string> others;  // folders of what `vmae predict` writes beside label maps
  if (fs::exists(folder / "predict.json")) {
    others.push_back((folder / "probabilities/").string());
    const auto record = nlohmann::json::parse(read_file(folder / "predict.json"), nullptr, /*allow_exceptions=*/false);
    const bool has_overlays = record.is_object() && record.contains("options") && record["options"].is_object() &&
                              record["options"].contains("overlays");
    if (has_overlays) others.push_back((folder / "overlays/").string());
  }
  const auto is_other = [&](const fs::path& file) {
    return std::any_of(others.begin(), others.end(),
                       [&](const std::string& other) { return file.string().starts_with(other); });
  };
  std::vector<fs::path> files;
  for (const auto* list : {&listing.pictures, &listing.volumes, &listing.dicom}) {
    std::copy_if(list->begin(), list->end(), std::back_inserter(files),
                 [&](const fs::path& file) { return is_label_file(file) && !is_other(file); });
  }
  return files;
}

// What dataset.json says of a folder of label maps: its own,
// or, of nnU-Net's labelsTr and labelsTs, that of the dataset.
void adopt_dataset_json(const fs::path& folder, Truth& truth) {
  const fs::path whole = (fs::absolute(folder) / "").lexically_normal().parent_path();
  std::vector<fs::path> places{whole};
  if (whole.filename().string().starts_with("labels")) places.push_back(whole.parent_path());
  for (const fs::path& place : places) {
    const fs::path file = place / "dataset.json";
    std::error_code ignored;
    if (!fs::is_regular_file(file, ignored)) continue;
    io::DatasetJson dataset;
    try {
      dataset = io::read_dataset_json(file);
    } catch (const Error& error) {  // other programs have files of this name
      log::warning(concat("what it says of the masks is left out of account: ", error.what()));
      continue;
    }
    for (const std::string& remark : dataset.remarks) log::warning(concat(file.string(), ": ", remark));
    truth.mask_names = dataset.mask_names;
    truth.ignore_label = dataset.ignore_label;
    truth.regions = dataset.regions;
    log::info(concat("what the values of ", folder.string(), " mean is taken from ", file.string(), ": ",
                     join(dataset.mask_names, ", "),
                     dataset.ignore_label >= 0 ? concat("; ", dataset.ignore_label, " is ignored") : ""));
    return;
  }
}

}  // namespace

std::vector<std::string> identifying_texts_in(const fs::path& folder) {
  std::set<std::string> texts;
  for (const fs::path& file : label_files(folder)) {
    const std::vector<std::string> own = io::owner_of(file).identifying;
    texts.insert(own.begin(), own.end());
  }
  return {texts.begin(), texts.end()};
}

std::map<std::string, fs::path> list_label_maps(const fs::path& folder, const std::vector<std::string>& identifying) {
  std::map<std::string, fs::path> maps;
  for (const fs::path& path : label_files(folder)) {
    const std::string file = path.lexically_relative(folder).generic_string();
    const std::string name = io::safe_name(escaped_utf8(io::take_apart(file).stem), identifying);
    const auto [first, is_new] = maps.emplace(name, path);
    if (!is_new)
      fail_file(
          folder,
          concat("case ", name, " is there twice, as ", io::without(first->second.filename().string(), identifying),
                 " and ", io::without(path.filename().string(), identifying)),
          "keep one of them");
  }
  return maps;
}

Truth open_truth(const fs::path& path, const std::optional<std::set<std::string>>& test_files, bool is_classification,
                 const std::vector<std::string>& findings, const std::vector<std::string>& identifying,
                 const NamesTable* names) {
  if (const std::string missing = path_problem(path); !missing.empty())
    throw Error(ExitCode::data, concat(path.string(), " ", missing),
                "--truth takes label maps, labels, or a source that has them");
  // A folder of label maps looks like a folder of images; one of DICOM-SEG like one without images.
  std::optional<Error> problem;
  try {
    io::Source source = io::find_source(path, "auto", findings);
    for (const io::SourceRemark& remark : source.remarks) {
      if (is_classification && remark.name.empty()) log::info(concat("truth: ", remark.text));  // which columns it is
    }
    Truth truth = truth_of_source(std::move(source), test_files, is_classification, path, names);
    truth.identifying = identifying;
    if (!truth.cases.empty()) return truth;
  } catch (const io::NoImages& error) {
    if (is_classification) throw;
    problem = error;
  }
  Truth truth;
  if (!is_classification && fs::is_directory(path)) {
    truth.identifying = identifying;
    const std::vector<std::string> own = identifying_texts_in(path);
    truth.identifying.insert(truth.identifying.end(), own.begin(), own.end());
    adopt_dataset_json(path, truth);
    for (const auto& [name, file] : list_label_maps(path, truth.identifying)) {
      const std::string patient = io::owner_of(file).patient;
      truth.cases.push_back(
          {name, patient.empty() ? name : patient, file, {}, {}, io::is_picture(file) ? 2 : -1, !patient.empty()});
    }
    std::vector<std::string> names_there;
    for (const TruthCase& one : truth.cases) names_there.push_back(one.name);
    const std::vector<bool> is_tested = test_files ? tested_by_name(*test_files, names_there) : std::vector<bool>{};
    if (tell_tested(path, is_tested)) {
      size_t number = 0;
      std::erase_if(truth.cases, [&](const TruthCase&) { return !is_tested[number++]; });
    }
  }
  if (truth.cases.empty() && problem) throw Error(*problem);
  if (truth.cases.empty())
    throw Error(ExitCode::data, concat(path.string(), " holds no ", is_classification ? "labels" : "masks"),
                "--truth takes label maps, labels, or a source that has them");
  return truth;
}

void read_patients(const fs::path& file, Truth& truth) {
  const io::Csv csv = io::read_csv(file);
  const auto case_column = csv.column({"case", "name", "id", "image"}), patient_column = io::patient_column(csv);
  if (!case_column || !patient_column)
    throw Error(
        ExitCode::data,
        concat(file.string(), ":1: needs the columns case and patient; its columns are: ", join(csv.columns, ", ")));
  std::map<std::string, std::string> patient_of;
  for (const io::CsvRow& row : csv.rows) {
    if (!patient_of.emplace(row.fields[*case_column], io::patient_id(row.fields[*patient_column])).second)
      throw Error(ExitCode::data,
                  concat(file.string(), ":", row.line, ": case ", row.fields[*case_column], " is there twice"));
  }
  std::map<std::string, std::string> file_of_stem;  // "a.nii.gz" of a, as tables of scores may have it
  for (const auto& [name, patient] : patient_of) file_of_stem.emplace(io::take_apart(name).stem, name);
  for (TruthCase& one : truth.cases) {
    auto found = patient_of.find(one.name);
    if (found == patient_of.end()) found = patient_of.find(file_of_stem[one.name]);
    if (found == patient_of.end() || found->second.empty())
      fail_file(file, concat("has no patient of case ", one.name));
    one.patient = found->second;
    one.is_patient_known = true;
  }
}

std::map<std::string, std::string> match_names(const std::vector<std::string>& truth,
                                               const std::vector<std::string>& found, const std::string& whose) {
  std::map<std::string, std::string> matches;
  const std::set<std::string> all(found.begin(), found.end());
  for (const std::string& name : truth) {
    if (all.contains(name)) matches[name] = name;
  }
  if (!matches.empty()) return matches;
  // Of "images/a.nii" a.nii, where that matches some; tables may name files: then a.
  const auto whole = [](const std::string& name) { return name.substr(name.find_last_of('/') + 1); };
  std::set<std::string> whole_found;
  for (const std::string& name : found) whole_found.insert(whole(name));
  const bool is_whole = std::any_of(truth.begin(), truth.end(),
                                    [&](const std::string& name) { return whole_found.contains(whole(name)); });
  const auto last_part = [&](const std::string& name) { return is_whole ? whole(name) : io::stem_of(name); };
  std::map<std::string, std::vector<std::string>> of_found, of_truth;
  for (const std::string& name : found) of_found[last_part(name)].push_back(name);
  for (const std::string& name : truth) of_truth[last_part(name)].push_back(name);
  for (const auto& [part, names] : of_truth) {
    const auto same = of_found.find(part);
    if (same == of_found.end()) continue;
    if (same->second.size() == 1 && names.size() == 1) {
      matches[names[0]] = same->second[0];
      continue;
    }
    log::warning(concat(whose, ": which of ", join(same->second, ", "), " belongs to ", join(names, ", "),
                        " of the truth can't be told, as their names have only the last part in common"));
  }
  if (!matches.empty())
    log::info(concat(
        whose, ": no name is that of a case; matched by the last part of their paths: ", matches.begin()->first, " is ",
        matches.begin()->second, matches.size() > 1 ? concat(" (and ", matches.size() - 1, " more)") : ""));
  return matches;
}

void split_as_predicted(const std::set<std::string>& predicted, Truth& truth) {
  const auto is_predicted = [&](const std::string& name) {  // `predicted` has the last parts of paths too
    return predicted.contains(name) || predicted.contains(name.substr(name.find_last_of('/') + 1));
  };
  std::set<std::string> taken;
  for (const TruthCase& one : truth.cases) taken.insert(one.name);
  std::vector<TruthCase> cases;
  for (const TruthCase& one : truth.cases) {
    const size_t before = cases.size();
    const auto add = [&](const std::string& name) {
      if (!is_predicted(name) || (name != one.name && !taken.insert(name).second)) return false;
      cases.push_back(one);
      cases.back().name = name;
      if (const auto image = one.images.find(name); image != one.images.end()) cases.back().file = image->second;
      return true;
    };
    const auto count = std::count_if(one.images.begin(), one.images.end(),
                                     [&](const auto& image) { return is_predicted(image.first); });
    if (count > 1 || !is_predicted(one.name)) {
      for (const auto& [name, image] : one.images) add(name);
      for (int64_t time_point = 0; one.images.empty() && add(concat(one.name, "_t", time_point)); ++time_point)
        cases.back().file.time_point = time_point;
      for (int64_t channel = 0; !one.label_map.empty() && channel < 10'000; ++channel)
        add(concat(one.name, channel_suffix(channel)));
    }
    if (cases.size() == before) cases.push_back(one);
  }
  if (cases.size() > truth.cases.size())
    log::info(concat("images that share a mask (channels, time points) were predicted one by one: ", cases.size(),
                     " cases of ", truth.cases.size(), " masks"));
  truth.cases = std::move(cases);
}

void add_images(const fs::path& path, Truth& truth) {
  io::Source source = io::find_source(path);
  const std::vector<std::string> names = io::case_names(source.files, source.identifying);
  std::vector<std::string> truth_names;
  for (const TruthCase& one : truth.cases) truth_names.push_back(one.name);
  const auto matches = match_names(truth_names, names, path.string());
  if (matches.size() < truth_names.size() && !matches.empty())
    log::warning(concat(path.string(), ": has images of ", matches.size(), " of ", truth_names.size(),
                        " cases; the others are shown without"));
  if (matches.empty())
    throw Error(ExitCode::data, concat(path.string(), " has no image of the name of a case"),
                "such as " + truth_names.at(0));
  for (TruthCase& one : truth.cases) {
    const auto match = matches.find(one.name);
    if (match == matches.end() || one.label_map.empty()) continue;
    one.file = source.files[static_cast<size_t>(std::find(names.begin(), names.end(), match->second) - names.begin())];
  }
}

void Problems::add(const std::string& name, const std::string& text) {
  const auto [at, is_new] = index_.emplace(name, problems_.size());
  if (is_new) {
    problems_.emplace_back(name, text);
  } else {
    problems_[at->second].second += "; " + text;
  }
}

void Problems::advise(const std::string& hint) {
  if (hint_.empty()) hint_ = hint;
}

std::vector<std::string> Problems::all() const {
  std::vector<std::string> texts;
  for (const auto& [name, text] : problems_) texts.push_back(concat(name, ": ", text));
  return texts;
}

void Problems::raise() const {
  if (problems_.empty()) return;
  constexpr size_t kNumShown = 20;
  const std::vector<std::string> texts = all();
  std::string text;
  for (size_t i = 0; i < std::min(kNumShown, texts.size()); ++i) text += "\n  " + texts[i];
  if (texts.size() > kNumShown) text += concat("\n  and ", texts.size() - kNumShown, " more");
  const std::string head =
      concat(texts.size(), texts.size() == 1 ? " case" : " cases", skips_ ? " left out:" : " can't be evaluated:");
  if (skips_) return log::warning(head + text);
  throw Error(
      ExitCode::data, head + text,
      (hint_.empty() ? "mend them" : hint_) + "; or leave them out by name with --skip-bad-cases (exit code 6)");
}

}  // namespace vmae::run
