// The truth: label maps or labels of a source, or label maps by themselves; and which prediction belongs to which.
#include <algorithm>

#include "eval_input.h"
#include "vmae/core/log.h"
#include "vmae/core/path_problem.h"
#include "vmae/core/text.h"
#include "vmae/io/case_names.h"
#include "vmae/io/csv.h"
#include "vmae/io/label_map.h"
#include "vmae/io/picture.h"
#include "vmae/io/volume.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

bool is_label_file(const fs::path& path) {
  const std::string ending = io::ending_of(path.filename().string());
  return io::is_volume(path) || io::is_picture(path) || ending == ".dcm";
}

// Files of one source, in the order in which names are given.
Truth from_source(io::Source source, const std::optional<std::set<std::string>>& test_files, bool is_classification, const fs::path& path) {
  std::sort(source.files.begin(), source.files.end(), [](const auto& a, const auto& b) { return std::tie(a.name, a.path) < std::tie(b.name, b.path); });
  const std::vector<std::string> names = io::case_names(source.files, source.identifying);
  Truth truth;
  truth.mask_names = source.mask_names;
  truth.label_names = source.label_names;
  truth.is_multi_label = source.is_multi_label;
  std::map<fs::path, int64_t> num_with_mask;  // nnU-Net's channels are images of their own with one mask: they are one case
  for (const io::SourceFile& file : source.files) num_with_mask[file.mask] += file.series.empty() ? 1 : 0;
  std::set<fs::path> seen;
  size_t without = 0;
  const bool has_test =
      test_files && std::any_of(source.files.begin(), source.files.end(), [&](const io::SourceFile& file) { return test_files->contains(file.name); });
  for (size_t i = 0; i < names.size(); ++i) {
    io::SourceFile& file = source.files[i];
    if (has_test && !test_files->contains(file.name)) continue;
    if (!is_classification && file.prepared_case >= 0)
      throw Error(ExitCode::data, path.string() + " is a prepared dataset: masks can't be compared from it", "give the files it was made of as --truth");
    if (is_classification ? file.labels.empty() : file.mask.empty()) {
      ++without;
      if (has_test) throw Error(ExitCode::data, concat(path.string(), ": ", file.name, " has no ", is_classification ? "label" : "mask"));
      continue;
    }
    std::string name = names[i];
    if (!is_classification && num_with_mask[file.mask] > 1 && io::is_volume(file.mask)) {
      if (!seen.insert(file.mask).second) continue;
      if (name.ends_with("_0000")) name.resize(name.size() - 5);
    }
    truth.has_patients |= file.patient != file.name;
    truth.cases.push_back({name, file.patient, {}, file});
  }
  if (without > 0 && !truth.cases.empty())
    log::warning(concat(path.string(), ": ", without, " of ", names.size(), " cases have no ", is_classification ? "label" : "mask", " and are not evaluated"));
  return truth;
}

}  // namespace

namespace {

// Files below `folder` that may be label maps, in any order.
std::vector<fs::path> label_files(const fs::path& folder) {
  std::vector<fs::path> files;
  const bool is_ours = fs::exists(folder / "predict.json");
  for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::recursive_directory_iterator(); ++entry) {
    if (entry->is_directory()) {
      if (is_ours && entry->path() == folder / "probabilities") entry.disable_recursion_pending();
    } else if (entry->is_regular_file() && !entry->path().filename().string().starts_with(".") && is_label_file(entry->path())) {
      files.push_back(entry->path());
    }
  }
  return files;
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
    const std::string name = io::safe_name(file.substr(0, file.size() - io::ending_of(file).size()), identifying);
    const auto [first, is_new] = maps.emplace(name, path);
    if (!is_new)
      throw Error(ExitCode::data,
                  concat(folder.string(), ": case ", name, " is there twice, as ", io::ending_of(first->second.filename().string()), " and ",
                         io::ending_of(path.filename().string())),
                  "keep one of them");
  }
  return maps;
}

Truth open_truth(const fs::path& path, const std::optional<std::set<std::string>>& test_files, bool is_classification,
                 const std::vector<std::string>& identifying) {
  if (const std::string missing = path_problem(path); !missing.empty())
    throw Error(ExitCode::data, concat(path.string(), " ", missing), "--truth takes label maps, labels, or a source that has them");
  // A folder of label maps looks like a folder of images; one of DICOM-SEG like one without images.
  std::optional<Error> problem;
  try {
    Truth truth = from_source(io::find_source(path), test_files, is_classification, path);
    truth.identifying = identifying;
    if (!truth.cases.empty()) return truth;
  } catch (const Error& error) {
    if (is_classification || !fs::is_directory(path)) throw;
    problem = error;
  }
  Truth truth;
  if (!is_classification && fs::is_directory(path)) {
    truth.identifying = identifying;
    const std::vector<std::string> own = identifying_texts_in(path);
    truth.identifying.insert(truth.identifying.end(), own.begin(), own.end());
    for (const auto& [name, file] : list_label_maps(path, truth.identifying)) {
      const std::string patient = io::owner_of(file).patient;
      truth.has_patients |= !patient.empty();
      truth.cases.push_back({name, patient.empty() ? name : patient, file, {}});
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
  const auto case_column = csv.column({"case", "name", "id", "image"}), patient_column = csv.column({"patient", "patient_id", "subject"});
  if (!case_column || !patient_column)
    throw Error(ExitCode::data, concat(file.string(), ":1: needs the columns case and patient; its columns are: ", join(csv.columns, ", ")));
  std::map<std::string, std::string> patient_of;
  for (const io::CsvRow& row : csv.rows) {
    if (!patient_of.emplace(row.fields[*case_column], row.fields[*patient_column]).second)
      throw Error(ExitCode::data, concat(file.string(), ":", row.line, ": case ", row.fields[*case_column], " is there twice"));
  }
  for (TruthCase& one : truth.cases) {
    const auto found = patient_of.find(one.name);
    if (found == patient_of.end() || found->second.empty()) throw Error(ExitCode::data, concat(file.string(), ": has no patient of case ", one.name));
    one.patient = found->second;
  }
  truth.has_patients = true;
}

std::map<std::string, std::string> match_names(const std::vector<std::string>& truth, const std::vector<std::string>& found) {
  std::map<std::string, std::string> matches;
  const std::set<std::string> all(found.begin(), found.end());
  for (const std::string& name : truth) {
    if (all.contains(name)) matches[name] = name;
  }
  if (!matches.empty()) return matches;
  const auto last_part = [](const std::string& name) {  // of "images/a.png": a
    const std::string last = name.substr(name.find_last_of('/') + 1);
    return is_label_file(last) ? last.substr(0, last.size() - io::ending_of(last).size()) : last;
  };
  std::map<std::string, std::vector<std::string>> by_last_part;
  std::map<std::string, int64_t> count;
  for (const std::string& name : found) by_last_part[last_part(name)].push_back(name);
  for (const std::string& name : truth) ++count[last_part(name)];
  for (const std::string& name : truth) {
    const auto same = by_last_part.find(last_part(name));
    if (same != by_last_part.end() && same->second.size() == 1 && count[last_part(name)] == 1) matches[name] = same->second[0];
  }
  return matches;
}

void add_images(const fs::path& path, Truth& truth) {
  io::Source source = io::find_source(path);
  const std::vector<std::string> names = io::case_names(source.files, source.identifying);
  std::vector<std::string> truth_names;
  for (const TruthCase& one : truth.cases) truth_names.push_back(one.name);
  const auto matches = match_names(truth_names, names);
  if (matches.empty()) throw Error(ExitCode::data, concat(path.string(), " has no image of the name of a case"), "such as " + truth_names.at(0));
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

std::vector<std::string> Problems::all() const {
  std::vector<std::string> texts;
  for (const auto& [name, text] : problems_) texts.push_back(concat(name, ": ", text));
  return texts;
}

void Problems::raise() const {
  if (problems_.empty()) return;
  constexpr size_t num_shown = 20;
  const std::vector<std::string> texts = all();
  std::string text;
  for (size_t i = 0; i < std::min(num_shown, texts.size()); ++i) text += "\n  " + texts[i];
  if (texts.size() > num_shown) text += concat("\n  and ", texts.size() - num_shown, " more");
  const std::string head = concat(texts.size(), texts.size() == 1 ? " case" : " cases", skips_ ? " left out:" : " can't be evaluated:");
  if (skips_) return log::warning(head + text);
  throw Error(ExitCode::data, head + text, "mend them, or leave them out by name with --skip-bad-cases (exit code 6)");
}

}  // namespace vmae::run
