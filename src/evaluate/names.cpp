// Predictions of a prepared dataset bear its names, which are salted
// hashes of the source's: a names table, or the salt, says which is which.
#include <algorithm>

#include "input.h"
#include "vmae/core/log.h"
#include "vmae/core/text.h"
#include "vmae/prepare/names_table.h"
#include "vmae/sources/case_names.h"
#include "vmae/sources/csv.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

// As prepare.names=hash calls cases.
bool is_hash(const std::string& name) {
  return name.size() == 16 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool are_hashes(const std::vector<std::string>& names) {
  return !names.empty() && std::all_of(names.begin(), names.end(), is_hash);
}

std::vector<std::string> predicted_names(const EvalModel& model) {
  std::vector<std::string> names;
  if (is_classification(model)) {
    const io::Csv csv =
        io::read_csv(fs::is_directory(model.predictions) ? model.predictions / "cases.csv" : model.predictions);
    const auto column = csv.column({"case"});
    for (const io::CsvRow& row : csv.rows) {
      if (column) names.push_back(row.fields[*column]);
    }
    return names;
  }
  for (const auto& [name, file] : list_label_maps(model.predictions, {})) names.push_back(name);
  return names;
}

// The dataset that predictions were made of, where it still is.
std::optional<fs::path> dataset_of(const EvalModel& model) {
  if (model.dataset.empty() || !io::is_prepared(model.dataset)) return std::nullopt;
  if (!model.dataset_digest.empty() && io::PreparedDataset(model.dataset).info().digest != model.dataset_digest)
    return std::nullopt;
  return model.dataset;
}

// What predictions of a dataset's case are called.
std::vector<std::string> names_as_predicted(const NamesTable& table) {
  std::vector<io::SourceFile> files;
  for (const NamedCase& one : table.cases) {
    io::SourceFile file;
    file.name = one.name;
    file.prepared_case = 0;
    files.push_back(file);
  }
  return io::case_names(files, {});
}

}  // namespace

void find_datasets(std::vector<EvalModel>& models) {
  for (EvalModel& model : models) {
    const bool is_lost = model.dataset.empty() || !io::is_prepared(model.dataset);  // its path was relative, say
    if (is_lost && !model.run.empty() && io::is_prepared(model.truth)) {
      model.dataset = model.truth;
      if (model.dataset_digest.empty()) model.dataset_digest = io::PreparedDataset(model.truth).info().digest;
    }
    model.has_hashed_names = are_hashes(predicted_names(model));
    if (!model.dataset.empty() && io::is_prepared(model.dataset))
      model.may_be_resized = !options_of_dataset(io::PreparedDataset(model.dataset).info().options).resize.empty();
  }
}

std::optional<NamesTable> names_between(const EvalArguments& arguments, const std::vector<EvalModel>& models,
                                        const fs::path& truth, bool is_label_table) {
  const bool is_dataset = io::is_prepared(truth);
  if (!arguments.names_table.empty()) {
    if (!arguments.salt_file.empty())
      throw Error(ExitCode::usage, "--names-table and --salt-file both say what cases were called", "give one of them");
    NamesTable table = read_names_table(arguments.names_table);
    const auto require_same = [&](const std::string& digest, const std::string& what) {
      if (!digest.empty() && digest != table.digest)
        throw Error(
            ExitCode::data,
            concat("--names-table ", arguments.names_table.string(), " is of another prepared dataset than ", what),
            "give the table of that dataset: the `vmae prepare` that made it writes it again with --names-table");
    };
    for (const EvalModel& model : models)
      require_same(model.dataset_digest, "the one that " + model.name + " predicted");
    if (is_dataset) require_same(io::PreparedDataset(truth).info().digest, "--truth");
    return table;
  }
  if (!arguments.salt_file.empty() && (is_dataset || is_label_table))
    throw Error(ExitCode::usage, "--salt-file is for --truth SOURCE: the names of its files are hashed again",
                "give what the dataset was prepared from as --truth");
  if (is_dataset || is_label_table) return std::nullopt;
  std::optional<fs::path> dataset;
  std::set<std::string> names;
  bool is_hashed = false;
  for (const EvalModel& model : models) {
    if (!dataset) dataset = dataset_of(model);
    is_hashed |= model.has_hashed_names;
    if (!model.has_hashed_names) continue;
    for (const std::string& name : predicted_names(model)) names.insert(name);
    if (model.test_files) names.insert(model.test_files->begin(), model.test_files->end());
  }
  std::string layout = "auto";
  bool keeps = false;
  if (dataset) {
    const io::PreparedDataset opened(*dataset);
    const PrepareOptions options = options_of_dataset(opened.info().options);
    layout = options.layout;
    keeps = options.names == "keep";
    for (int64_t i = 0; i < opened.info().num_cases; ++i) names.insert(opened.read_case(i).name);
  }
  if (!is_hashed && !keeps) return std::nullopt;
  if (!keeps && arguments.salt_file.empty() && !has_own_salt()) return std::nullopt;
  try {
    return names_by_salt(truth, layout, arguments.salt_file, keeps,
                         [&](const std::string& name) { return names.contains(name); });
  } catch (const Error& error) {
    if (!arguments.salt_file.empty()) throw;
    // label maps alone, say: open_truth() knows
    log::debug(concat("names of ", truth.string(), " could not be hashed: ", error.what()));
    return std::nullopt;
  }
}

std::map<std::string, std::string> match_predictions(const std::vector<std::string>& truth,
                                                     const std::vector<std::string>& found, const NamesTable* names,
                                                     const std::string& model) {
  std::map<std::string, std::string> matches = match_names(truth, found, model);
  if (names != nullptr && matches.size() < truth.size()) {
    const std::vector<std::string> predicted = names_as_predicted(*names);
    std::vector<std::string> in_source;
    std::map<std::string, std::string> to_dataset, to_source;
    for (size_t i = 0; i < predicted.size(); ++i) {
      if (names->cases[i].prediction.empty()) continue;
      in_source.push_back(names->cases[i].prediction);
      to_dataset[names->cases[i].prediction] = predicted[i];
      to_source[predicted[i]] = names->cases[i].prediction;
    }
    // The truth has the source's names, predictions the dataset's; or the other way round.
    std::map<std::string, std::string> there, back;
    const std::set<std::string> all(found.begin(), found.end());
    for (const auto& [name, source] : match_names(truth, in_source, "the names table")) {
      if (all.contains(to_dataset.at(source))) there[name] = to_dataset.at(source);
    }
    for (const auto& [source, prediction] : match_names(in_source, found, model)) {
      if (std::find(truth.begin(), truth.end(), to_dataset.at(source)) != truth.end())
        back[to_dataset.at(source)] = prediction;
    }
    for (auto* other : {&there, &back}) {
      if (other->size() > matches.size()) matches = *other;
    }
  }
  if (matches.empty() && are_hashes(found) && !are_hashes(truth)) {
    throw Error(
        ExitCode::data,
        concat("the predictions of ", model,
               " bear the names of a prepared dataset, which are salted hashes; no case of the truth has such a name",
               names == nullptr ? "" : ", nor one whose hash it is"),
        "leave --truth out or give the prepared dataset; or give exactly what it was prepared from as --truth, with "
        "--salt-file (its prepare.salt_file) or "
        "--names-table (of `vmae prepare --names-table`)");
  }
  return matches;
}

}  // namespace vmae::run
