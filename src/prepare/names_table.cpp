#include "vmae/prepare/names_table.h"

#include <unistd.h>

#include <algorithm>
#include <tuple>

#include "vmae/cases/channels.h"
#include "vmae/cases/time_points.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/sources/case_names.h"
#include "vmae/sources/csv.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

// None of them is a name for images in a manifest: a table beside a source must not be taken for one.
const std::vector<std::string> columns{"case", "source", "prediction", "image_file", "mask_file", "patient", "dataset"};

fs::path absolute_path(const fs::path& path) { return path.empty() ? path : fs::absolute(path).lexically_normal(); }

bool is_inside(const fs::path& file, const fs::path& folder) {
  std::error_code ignored;
  const fs::path inner = fs::weakly_canonical(fs::absolute(file), ignored),
                 outer = fs::weakly_canonical(fs::absolute(folder), ignored);
  const fs::path relative = inner.lexically_relative(outer);
  if (!relative.empty() && *relative.begin() != "..") return true;
  // under another name, as a mount
  for (fs::path parent = inner.parent_path(); parent.has_relative_path(); parent = parent.parent_path()) {
    if (fs::equivalent(parent, outer, ignored)) return true;
  }
  return false;
}

bool is_names_table(const fs::path& file) {
  try {
    return io::read_csv(file).columns == columns;
  } catch (const Error&) {  // no CSV at all
    return false;
  }
}

// File names may hold anything, blanks at their ends too.
std::string quoted(const std::string& field) {
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? "\"\"" : std::string(1, c);
  return text + "\"";
}

std::string prepare_option(const io::PreparedInfo& info, const std::string& key) {
  for (const std::string& option : info.options) {
    if (option.starts_with(key + "=")) return option.substr(key.size() + 1);
  }
  return "";
}

}  // namespace

NamesTable name_cases(std::vector<io::SourceFile> files, const std::vector<io::SourceRemark>& refused,
                      const std::vector<std::string>& identifying,
                      const std::function<std::string(const std::string&)>& name_of) {
  // as predict
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return std::tie(a.name, a.path) < std::tie(b.name, b.path); });
  const std::vector<std::string> predictions = io::case_names(files, identifying);
  NamesTable table;
  for (size_t i = 0; i < files.size(); ++i) {
    const io::SourceFile& file = files[i];
    table.cases.push_back({name_of(file.name), file.name, predictions[i], absolute_path(file.path),
                           absolute_path(file.mask), file.patient});
  }
  for (const io::SourceRemark& one : refused) table.cases.push_back({name_of(one.name), one.name, "", {}, {}, ""});
  return table;
}

void check_table_place(const fs::path& file, const fs::path& dataset) {
  const auto fail = [&](const std::string& what, const std::string& hint) {
    throw Error(ExitCode::usage, concat("--names-table ", file.string(), what), hint);
  };
  const char* const elsewhere = "choose a place that only those see who may know the patients";
  if (is_inside(file, dataset)) fail(" lies in the dataset, which is to say nothing of patients", elsewhere);
  std::error_code ignored;
  const fs::path folder = fs::absolute(file).lexically_normal().parent_path();
  if (io::is_prepared(folder) || fs::exists(folder / "plan.json", ignored))
    fail(" lies in a prepared dataset, which is to say nothing of patients", elsewhere);
  if (!fs::is_directory(folder, ignored)) fail(": there is no such folder", "make it first");
  if (access(folder.c_str(), W_OK) != 0) fail(": the folder can't be written to", "choose another");
  if (fs::exists(file, ignored) && !is_names_table(file))
    fail(" is another file", "choose a name that is free, or that of an earlier table");
}

void write_names_table(const fs::path& file, const NamesTable& table) {
  std::string text = join(columns, ",") + "\n";
  for (const NamedCase& one : table.cases)
    text += concat(join({quoted(one.name), quoted(one.source), quoted(one.prediction), quoted(one.image.string()),
                         quoted(one.mask.string()), quoted(one.patient), quoted(table.digest)},
                        ","),
                   "\n");
  write_file_atomically(file, text, kOwnerOnly);
}

NamesTable read_names_table(const fs::path& file) {
  const io::Csv csv = io::read_csv(file);
  if (csv.columns != columns) {
    throw Error(ExitCode::data, concat(file.string(), " is no names table: its columns are ", join(csv.columns, ", ")),
                "give what `vmae prepare --names-table FILE` wrote");
  }
  NamesTable table;
  std::set<std::string> seen;
  for (const io::CsvRow& row : csv.rows) {
    const auto& cell = row.fields;
    if (!table.digest.empty() && cell[6] != table.digest)
      throw Error(ExitCode::data, concat(file.string(), ":", row.line, ": is of another dataset than the rows before"),
                  "give the table of one dataset");
    if (!seen.insert(cell[0]).second)
      throw Error(ExitCode::data, concat(file.string(), ":", row.line, ": case ", cell[0], " is there twice"));
    table.digest = cell[6];
    table.cases.push_back({cell[0], cell[1], cell[2], cell[3], cell[4], cell[5]});
  }
  return table;
}

NamesTable names_by_salt(const fs::path& source_path, const std::string& layout, const std::string& salt_file,
                         bool keeps_names, const std::function<bool(const std::string&)>& is_wanted) {
  const Pseudonyms pseudonyms(keeps_names ? "" : read_salt(salt_file, /*may_make=*/false), keeps_names);
  const io::Source source = source_to_prepare(source_path, layout);
  std::vector<io::SourceFile> files;
  std::vector<io::SourceFile> images;  // as they were prepared: each channel is a case
  for (const io::SourceFile& file : source.files) {
    for (int64_t channel = 0; channel < io::num_channels(file); ++channel)
      images.push_back(io::channel_of(file, channel));
  }
  const auto was_prepared = [&](const std::string& name) { return is_wanted(pseudonyms.name(name)); };
  for (const io::SourceFile& file : images) {
    for (io::SourceFile& one : io::listed_time_points(file, was_prepared)) files.push_back(std::move(one));
  }
  return name_cases(std::move(files), source.refused, source.identifying,
                    [&](const std::string& name) { return pseudonyms.name(name); });
}

std::optional<NamesTable> names_of_dataset(const fs::path& path, const NameArguments& arguments) {
  if (!arguments.table.empty() && (!arguments.source.empty() || !arguments.salt_file.empty()))
    throw Error(ExitCode::usage, "--names-table and --source both say what cases were called", "give one of them");
  if (arguments.source.empty() && !arguments.salt_file.empty())
    throw Error(ExitCode::usage, "--salt-file alone says nothing",
                "give what the dataset was prepared from too: --source PATH");
  if (arguments.table.empty() && arguments.source.empty()) return std::nullopt;
  const io::PreparedDataset dataset(path);
  if (!arguments.table.empty()) {
    NamesTable table = read_names_table(arguments.table);
    if (table.digest != dataset.info().digest) {
      throw Error(
          ExitCode::data,
          concat("--names-table ", arguments.table.string(), " is the table of another dataset than ", path.string()),
          "run the `vmae prepare` that made the dataset again, with --names-table: what is finished is not made again");
    }
    return table;
  }
  std::set<std::string> names;
  for (int64_t i = 0; i < dataset.info().num_cases; ++i) names.insert(dataset.read_case(i).name);
  NamesTable table =
      names_by_salt(arguments.source, prepare_option(dataset.info(), "prepare.layout"), arguments.salt_file,
                    keeps_names(dataset.info()), [&](const std::string& name) { return names.contains(name); });
  if (std::none_of(table.cases.begin(), table.cases.end(),
                   [&](const NamedCase& one) { return names.contains(one.name); })) {
    throw Error(ExitCode::data,
                concat("no file of --source ", arguments.source.string(), " has the name of a case of ", path.string()),
                "give exactly what was given to `vmae prepare --input`, and with --salt-file the same "
                "prepare.salt_file; or --names-table");
  }
  return table;
}

bool keeps_names(const io::PreparedInfo& info) { return prepare_option(info, "prepare.names") == "keep"; }

}  // namespace vmae::run
