// The truth: label maps or labels of a source, or label maps by themselves; and which prediction belongs to which.
#include <algorithm>

#include "eval_input.h"
#include "vmae/core/log.h"
#include "vmae/core/text.h"
#include "vmae/io/case_names.h"
#include "vmae/io/csv.h"
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
  size_t without = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    io::SourceFile& file = source.files[i];
    if (test_files && !test_files->contains(file.name)) continue;
    if (!is_classification && file.prepared_case >= 0)
      throw Error(ExitCode::data, path.string() + " is a prepared dataset: masks can't be compared from it", "give the files it was made of as --truth");
    if (is_classification ? file.labels.empty() : file.mask.empty()) {
      ++without;
      if (test_files) throw Error(ExitCode::data, concat(path.string(), ": ", file.name, " has no ", is_classification ? "label" : "mask"));
      continue;
    }
    truth.has_patients |= file.patient != file.name;
    truth.cases.push_back({names[i], file.patient, {}, file});
  }
  if (without > 0 && !truth.cases.empty())
    log::warning(concat(path.string(), ": ", without, " of ", names.size(), " cases have no ", is_classification ? "label" : "mask", " and are not evaluated"));
  return truth;
}

}  // namespace

std::map<std::string, fs::path> list_label_maps(const fs::path& folder) {
  std::map<std::string, fs::path> maps;
  const bool is_ours = fs::exists(folder / "predict.json");
  for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::recursive_directory_iterator(); ++entry) {
    const fs::path relative = entry->path().lexically_relative(folder);
    if (entry->is_directory()) {
      if (is_ours && relative == "probabilities") entry.disable_recursion_pending();
      continue;
    }
    const std::string file = relative.generic_string();
    if (!entry->is_regular_file() || entry->path().filename().string().starts_with(".") || !is_label_file(entry->path())) continue;
    const std::string name = file.substr(0, file.size() - io::ending_of(file).size());
    if (!maps.emplace(name, entry->path()).second)
      throw Error(ExitCode::data,
                  concat(folder.string(), ": case ", name, " is there twice: ", maps.at(name).filename().string(), " and ", entry->path().filename().string()),
                  "keep one of them");
  }
  return maps;
}

Truth open_truth(const fs::path& path, const std::optional<std::set<std::string>>& test_files, bool is_classification) {
  if (!fs::exists(path)) throw Error(ExitCode::data, path.string() + " does not exist", "--truth takes label maps, labels, or a source that has them");
  // A folder of label maps looks like a folder of images; one of DICOM-SEG like one without images.
  std::optional<Error> problem;
  try {
    Truth truth = from_source(io::find_source(path), test_files, is_classification, path);
    if (!truth.cases.empty()) return truth;
  } catch (const Error& error) {
    if (is_classification || test_files || !fs::is_directory(path)) throw;
    problem = error;
  }
  Truth truth;
  if (!is_classification && fs::is_directory(path)) {
    for (const auto& [name, file] : list_label_maps(path)) truth.cases.push_back({name, name, file, {}});
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
  for (const io::CsvRow& row : csv.rows) patient_of[row.fields[*case_column]] = row.fields[*patient_column];
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
  const auto last_part = [](const std::string& name) { return name.substr(name.find_last_of('/') + 1); };
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

void Problems::raise() const {
  if (problems_.empty()) return;
  constexpr size_t num_shown = 20;
  std::string text;
  for (size_t i = 0; i < std::min(num_shown, problems_.size()); ++i) text += "\n  " + problems_[i];
  if (problems_.size() > num_shown) text += concat("\n  and ", problems_.size() - num_shown, " more");
  const std::string head = concat(problems_.size(), problems_.size() == 1 ? " case" : " cases", skips_ ? " left out:" : " can't be evaluated:");
  if (skips_) return log::warning(head + text);
  throw Error(ExitCode::data, head + text, "mend them, or leave them out by name with --skip-bad-cases (exit code 6)");
}

}  // namespace vmae::run
