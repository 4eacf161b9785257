// A manifest: which columns mean what, and what their cells may hold.
#include <algorithm>
#include <cmath>
#include <set>

#include "layouts.h"
#include "vmae/cases/class_names.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/image/file_name.h"
#include "vmae/image/modality_code.h"
#include "vmae/sources/csv.h"
#include "vmae/sources/patients.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kImageColumns{"image", "image_path", "path", "file", "filename"};
const std::vector<std::string> kMaskColumns{"mask", "mask_path", "segmentation"};

constexpr std::string_view kChannelPrefix = "image:";  // image:T1, image:FLAIR: the channels of a case

bool names_channel(const std::string& column) { return to_lower(column).starts_with(kChannelPrefix); }

// Columns that say which class an image belongs to, and columns of findings.
struct Columns {
  std::vector<size_t> images;  // one, or one per channel
  std::optional<size_t> mask, label, patient, split, fold, modality;
  std::vector<size_t> findings;
};

[[noreturn]] void fail(const Csv& csv, int64_t line, const std::string& what, const std::string& hint = "") {
  throw Error(ExitCode::data, concat(csv.name, ":", line, ": ", what), hint);
}

// As R and pandas write a missing value.
bool is_missing(const std::string& cell) {
  const std::string lower = to_lower(cell);
  return lower.empty() || lower == "na" || lower == "n/a" || lower == "#n/a" || lower == "nan" || lower == "null";
}

// 0, 1, NaN for -1 (uncertain, as in CheXpert) and empty; nothing else.
std::optional<float> finding(const std::string& cell) {
  if (is_missing(cell)) return std::nanf("");
  const auto value = parse_number(cell);
  if (value == 0.0 || value == 1.0) return static_cast<float>(*value);
  if (value == -1.0) return std::nanf("");
  return std::nullopt;
}

bool is_finding(const Csv& csv, size_t column) {
  bool has_value = false;
  for (const CsvRow& row : csv.rows) {
    const auto value = finding(row.fields[column]);
    if (!value) return false;
    has_value |= !std::isnan(*value);
  }
  return has_value;
}

bool are_paths(const Csv& csv, size_t column) {
  return std::any_of(csv.rows.begin(), csv.rows.end(),
                     [&](const CsvRow& row) { return !row.fields[column].empty(); }) &&
         std::all_of(csv.rows.begin(), csv.rows.end(), [&](const CsvRow& row) {
           return row.fields[column].empty() || kind_of(row.fields[column]) != FileKind::other;
         });
}

// Masks in the column `label`, but for some cells: the paths would become classes.
void refuse_some_paths(const Csv& csv, size_t column) {
  const auto path_of = [&](const CsvRow& row) { return fs::path(csv.name).parent_path() / row.fields[column]; };
  std::error_code ignored;
  const CsvRow* mask = nullptr;
  for (const CsvRow& row : csv.rows) {
    if (mask == nullptr && kind_of(row.fields[column]) != FileKind::other && fs::is_regular_file(path_of(row), ignored))
      mask = &row;
  }
  for (const CsvRow& row : csv.rows) {
    if (mask != nullptr && !row.fields[column].empty() && kind_of(row.fields[column]) == FileKind::other)
      fail(csv, row.line,
           concat("the column ", csv.columns[column], " holds '", row.fields[column], "', but in line ", mask->line,
                  " the file of a mask"),
           "leave the cells empty where there is no mask, or name a column of masks `mask`");
  }
}

// 0, 1, 2, ... line by line, as pandas puts it in front, without a name.
bool is_row_number(const Csv& csv, size_t column) {
  for (size_t row = 0; row < csv.rows.size(); ++row) {
    if (csv.rows[row].fields[column] != std::to_string(row)) return false;
  }
  return true;
}

// A column of labels because the user says so.
size_t named_column(const Csv& csv, const std::string& name, const Columns& columns) {
  const auto exact = std::find(csv.columns.begin(), csv.columns.end(), name);
  const std::optional<size_t> column =
      exact != csv.columns.end() ? std::optional(static_cast<size_t>(exact - csv.columns.begin())) : csv.column({name});
  if (!column || csv.columns[*column].empty()) fail_no_finding(csv.name, name, csv.columns);
  for (const auto& [other, what] : {std::pair{std::optional(columns.images[0]), "images"},
                                    {columns.mask, "masks"},
                                    {columns.patient, "patients"},
                                    {columns.split, "parts"},
                                    {columns.fold, "folds"},
                                    {columns.modality, "modalities"}}) {
    if (other == column)
      throw Error(ExitCode::usage,
                  concat("data.findings: the column ", csv.columns[*column], " of ", csv.name, " holds ", what),
                  "leave it out");
  }
  if (is_patient_column(csv.columns[*column]) || seems_to_name_patients(csv.columns[*column]) ||
      column == csv.column({"case", "name", "id"}))
    throw Error(
        ExitCode::usage,
        concat("data.findings: the column ", csv.columns[*column], " of ", csv.name, " holds names, as it is called"),
        "leave it out");
  return *column;
}

// What a finding is written as in other tables; as classes these words would make another task of it.
bool is_truth_word(const std::string& cell) {
  const std::string lower = to_lower(cell);
  return lower == "true" || lower == "false" || lower == "yes" || lower == "no" || lower == "positive" ||
         lower == "negative" || lower == "t" || lower == "f" || lower == "y" || lower == "n";
}

// Words that are neither numbers nor files, and not all yes and no, so that it can hold no findings.
bool are_classes(const Csv& csv, size_t column) {
  bool is_some = false;
  for (const CsvRow& row : csv.rows) {
    const std::string& cell = row.fields[column];
    if (is_missing(cell)) continue;
    if (parse_number(cell) || kind_of(cell) != FileKind::other) return false;
    is_some = is_some || !is_truth_word(cell);
  }
  return is_some;
}

bool are_findings(const Csv& csv, size_t column) {
  return std::all_of(csv.rows.begin(), csv.rows.end(),
                     [&](const CsvRow& row) { return finding(row.fields[column]).has_value(); });
}

// The column of the classes because the user says so. Its texts become names of
// classes, which are logged and written: no remarks, dates or names of people.
void set_classes(const Csv& csv, size_t column, Source& source, Columns& columns) {
  std::set<std::string> different;
  size_t known = 0;
  for (const CsvRow& row : csv.rows) {
    if (is_missing(row.fields[column])) continue;
    different.insert(class_name(row.fields[column]));
    ++known;
  }
  const std::string& name = csv.columns[column];
  if (different.size() > 2 && 2 * different.size() > known)
    throw Error(ExitCode::data,
                concat(csv.name, ": the column ", name, " (data.findings) holds ", different.size(),
                       " different texts in ", known, " rows"),
                "labels are classes of several cases each, not names or remarks: name another column; without "
                "data.findings a column `label` is taken as it is");
  columns.label = column;
  source.remarks.push_back({"", concat("the classes are those of the column ", name)});
}

void add_finding(const Csv& csv, size_t column, bool is_alone, Columns& columns) {
  const std::string& name = csv.columns[column];
  if (std::find(columns.findings.begin(), columns.findings.end(), column) != columns.findings.end())
    throw Error(ExitCode::usage, concat("data.findings names the column ", name, " twice"), "name each once");
  for (const CsvRow& row : csv.rows) {
    const std::string& cell = row.fields[column];
    if (finding(cell)) continue;
    const char* of_classes = "; a column of words holds classes if it is named alone";
    if (is_alone) of_classes = "; a column of classes holds words alone, no numbers and no files";
    if (is_truth_word(cell) || parse_number(cell)) of_classes = "; if these are classes, call the column `label`";
    fail(csv, row.line, concat("the finding ", name, " is '", cell, "'"),
         concat("findings are 0, 1, or -1 or empty where not known", of_classes));
  }
  columns.findings.push_back(column);
}

// The column of the images, or those of the channels, in the order of the file.
std::vector<size_t> image_columns(const Csv& csv, Source& source) {
  std::vector<size_t> channels;
  for (size_t column = 0; column < csv.columns.size(); ++column) {
    if (!names_channel(csv.columns[column])) continue;
    channels.push_back(column);
    source.channel_names.emplace_back(trim(csv.columns[column].substr(kChannelPrefix.size())));
  }
  const auto image = csv.column(kImageColumns);
  if (image && !channels.empty())
    fail(csv, 1, concat("the columns ", csv.columns[*image], " and ", csv.columns[channels[0]], " both name images"),
         "keep one column of images, or one column image:NAME for each channel");
  if (image) return {*image};
  if (channels.empty()) {
    throw Error(ExitCode::data,
                concat(csv.name, ":1: no column for the images; its columns are: ", join(csv.columns, ", ")),
                concat("name the column with the paths `image` (or ",
                       join({kImageColumns.begin() + 1, kImageColumns.end()}, ", "),
                       "), or one image:NAME for each channel of a case"));
  }
  const std::set<std::string> names(source.channel_names.begin(), source.channel_names.end());
  if (names.size() < channels.size() || names.contains(""))
    fail(csv, 1, concat("the channels are called ", join(source.channel_names, ", "), ": each needs a name of its own"),
         "name the columns image:T1, image:FLAIR, ...");
  if (channels.size() > 1) return channels;
  if (modality_code(source.channel_names[0]).empty())
    source.remarks.push_back({"", concat("the column ", csv.columns[channels[0]], " is the only one of images, and ",
                                         source.channel_names[0], " is no modality: the name is not used")});
  return channels;
}

// findings: the columns that are, or the one of the classes; empty: those that look like it.
Columns columns_of(const Csv& csv, Source& source, const std::vector<std::string>& findings) {
  Columns columns{
      image_columns(csv, source), csv.column(kMaskColumns), csv.column({"label", "class"}), patient_column(csv),
      csv.column({"split"}),      csv.column({"fold"}),     csv.column({"modality"}),       {}};
  if (columns.label && !columns.mask && are_paths(csv, *columns.label)) {
    columns.mask = columns.label;
    columns.label.reset();
  }
  const std::optional<size_t> label = columns.label;
  const bool is_alone = findings.size() == 1;
  if (!findings.empty()) columns.label.reset();
  for (const std::string& name : findings) {
    const size_t column = named_column(csv, name, columns);
    if (is_alone && (column == label ? !are_findings(csv, column) : are_classes(csv, column))) {
      set_classes(csv, column, source, columns);
    } else {
      add_finding(csv, column, is_alone, columns);
    }
  }
  if (columns.label) refuse_some_paths(csv, *columns.label);
  std::vector<std::string> unused;
  for (size_t column = 0; column < csv.columns.size(); ++column) {
    const std::string& name = csv.columns[column];
    const bool is_image = std::find(columns.images.begin(), columns.images.end(), column) != columns.images.end();
    const bool is_named = is_image || column == columns.mask || column == columns.label || column == columns.patient ||
                          column == columns.split || column == columns.fold || column == columns.modality;
    if (is_named || is_patient_column(name)) continue;  // a second patient column is equal to the first
    if (!findings.empty() && !name.empty() &&
        std::find(columns.findings.begin(), columns.findings.end(), column) == columns.findings.end())
      unused.push_back(name);
    if (!findings.empty()) continue;
    const bool is_value = !columns.label && !seems_to_name_patients(name) && is_finding(csv, column);
    if (is_value && name.empty() && !is_row_number(csv, column))
      fail(csv, 1, concat("column ", column + 1, " has no name, but holds findings (0, 1, -1)"),
           "name the finding, or remove the column");
    if (is_value && !name.empty()) {
      columns.findings.push_back(column);
    } else if (!name.empty()) {
      unused.push_back(name);
    }
  }
  std::vector<std::string> taken;
  for (const size_t column : columns.findings) taken.push_back(csv.columns[column]);
  if (!taken.empty())
    source.remarks.push_back({"", concat(taken.size() == 1 ? "the finding is the column " : "findings are the columns ",
                                         join(taken, ", "))});
  if (!unused.empty())
    source.remarks.push_back(
        {"", concat(unused.size() == 1 ? "a column is not used: " : "columns are not used: ", join(unused, ", "))});
  return columns;
}

// The classes of a column, sorted; numbers by value.
std::vector<std::string> classes_of(const Csv& csv, size_t column, Source& source) {
  std::map<std::string, std::set<std::string>> written;
  int64_t num_missing = 0;
  for (const CsvRow& row : csv.rows) {
    if (is_missing(row.fields[column])) {
      num_missing += row.fields[column].empty() ? 0 : 1;
      continue;
    }
    if (const std::string name = class_name(row.fields[column]); !name.empty())
      written[name].insert(row.fields[column]);
  }
  if (num_missing > 0)
    source.remarks.push_back({"", concat(num_missing, " labels are NA, N/A, NaN or null: not known")});
  std::vector<std::string> classes;
  for (const auto& [name, spellings] : written) {
    classes.push_back(name);
    if (spellings.size() > 1)
      source.remarks.push_back(
          {"", concat("the labels ", join({spellings.begin(), spellings.end()}, ", "), " are one class: ", name)});
  }
  sort_classes(classes);
  return classes;
}

SourceFile file_of(const Csv& csv, const CsvRow& row, const Columns& columns, const Source& source,
                   const fs::path& folder) {
  const auto text = [&](std::optional<size_t> column) {
    return !column || is_missing(row.fields[*column]) ? std::string() : row.fields[*column];
  };
  SourceFile file;
  for (size_t i = 0; i < columns.images.size(); ++i) {
    const std::string& cell = row.fields[columns.images[i]];
    if (cell.empty()) fail(csv, row.line, "no image is named");
    SourceFile& one = i == 0 ? file : file.channels.emplace_back();
    one.path = (folder / cell).lexically_normal();
    one.name = fs::path(cell).is_absolute()
                   ? fs::absolute(one.path).lexically_relative(fs::absolute(folder).lexically_normal()).generic_string()
                   : fs::path(cell).lexically_normal().generic_string();
    if (!source.channel_names.empty()) one.modality = modality_code(source.channel_names[i]);
  }
  if (const std::string mask = text(columns.mask); !mask.empty()) file.mask = (folder / mask).lexically_normal();
  const std::string patient = patient_id(text(columns.patient));
  file.patient = patient.empty() ? file.name : patient;
  if (const std::string modality = modality_code(text(columns.modality)); !modality.empty()) file.modality = modality;
  for (SourceFile& channel : file.channels)
    channel.modality = channel.modality.empty() ? file.modality : channel.modality;
  file.split = to_lower(text(columns.split));
  if (!file.split.empty() && file.split != "train" && file.split != "val" && file.split != "test") {
    fail(csv, row.line, "split is '" + text(columns.split) + "'; allowed: train, val, test, or empty");
  }
  if (const std::string fold = text(columns.fold); !fold.empty()) {
    const auto number = parse_integer(class_name(fold));  // "2.0", as pandas writes columns with gaps
    if (!number || *number < 0) fail(csv, row.line, "fold is '" + fold + "'; allowed: 0, 1, 2, ..., or empty");
    file.fold = *number;
  }
  if (columns.label) {
    const std::string& text_of_label = row.fields[*columns.label];
    const std::string label = is_missing(text_of_label) ? "" : class_name(text_of_label);
    file.labels.assign(source.label_names.size(), label.empty() ? std::nanf("") : 0.0F);
    const auto found = std::find(source.label_names.begin(), source.label_names.end(), label);
    if (!label.empty()) file.labels[static_cast<size_t>(found - source.label_names.begin())] = 1.0F;
  }
  for (const size_t column : columns.findings) file.labels.push_back(*finding(row.fields[column]));
  return file;
}

// Rows of several channels that lack one are taken out.
void refuse_incomplete(Csv& csv, const Columns& columns, Source& source) {
  if (columns.images.size() < 2) return;
  std::erase_if(csv.rows, [&](const CsvRow& row) {
    std::vector<std::string> missing;
    for (size_t i = 0; i < columns.images.size(); ++i) {
      if (is_missing(row.fields[columns.images[i]])) missing.push_back(source.channel_names[i]);
    }
    if (!missing.empty())
      source.refused.push_back(
          {concat(csv.name, ":", row.line), concat("is a case without channel ", join(missing, ", "))});
    return !missing.empty();
  });
}

// As Windows writes paths: read with slashes where nothing has the name as it stands.
void turn_backslashes(Csv& csv, const fs::path& folder, Source& source) {
  std::string first;
  for (size_t column = 0; column < csv.columns.size(); ++column) {
    const bool may_be_masks = csv.column(kMaskColumns) == column || csv.column({"label", "class"}) == column;
    if (!may_be_masks && csv.column(kImageColumns) != column && !names_channel(csv.columns[column])) continue;
    for (CsvRow& row : csv.rows) {
      std::string& cell = row.fields[column];
      std::error_code ignored;
      if (cell.find('\\') == std::string::npos || fs::exists(folder / cell, ignored)) continue;
      if (may_be_masks && kind_of(cell) == FileKind::other) continue;  // a class
      if (first.empty()) first = cell;
      std::replace(cell.begin(), cell.end(), '\\', '/');
    }
  }
  if (!first.empty()) source.remarks.push_back({first, "has backslashes, as other paths may: they are read as /"});
}

}  // namespace

void fail_no_finding(const std::string& where, const std::string& name, const std::vector<std::string>& all) {
  std::vector<std::string> named = all;
  std::erase(named, "");
  const std::string nearest = did_you_mean(name, named);
  throw Error(ExitCode::usage,
              concat("data.findings: ", where, " has no finding '", name, "'",
                     nearest.empty() ? "" : concat("; did you mean '", nearest, "'?")),
              "it has: " + join(named, ", "));
}

Source manifest_source(const fs::path& manifest, const std::vector<std::string>& findings) {
  Csv csv = read_csv(manifest);
  Source source;
  source.layout = "manifest";
  const fs::path folder = manifest.has_parent_path() ? manifest.parent_path() : ".";
  turn_backslashes(csv, folder, source);
  const Columns columns = columns_of(csv, source, findings);
  refuse_incomplete(csv, columns, source);
  source.is_multi_label = !columns.label;
  if (columns.label) source.label_names = classes_of(csv, *columns.label, source);
  for (const size_t column : columns.findings) source.label_names.push_back(csv.columns[column]);
  for (std::string& remark : check_class_names(source.label_names, csv.name))
    source.remarks.push_back({"", std::move(remark)});
  if (source.label_names.empty()) source.is_multi_label = false;
  std::map<std::string, int64_t> line_of;
  for (const CsvRow& row : csv.rows) {
    SourceFile file = file_of(csv, row, columns, source, folder);
    for (size_t i = 0; i < columns.images.size(); ++i) {
      const auto [first, is_new] = line_of.emplace(i == 0 ? file.name : file.channels[i - 1].name, row.line);
      if (!is_new)
        fail(csv, row.line,
             concat("names ", row.fields[columns.images[i]], " a second time; the first is line ", first->second));
    }
    if (columns.mask && file.mask.empty()) source.remarks.push_back({file.name, "has no mask: its cell is empty"});
    source.files.push_back(std::move(file));
  }
  if (source.channel_names.size() == 1) source.channel_names.clear();  // each image by itself, of that modality
  if (source.files.empty() && !source.refused.empty())
    throw Error(ExitCode::data, concat(source.refused[0].name, ": ", source.refused[0].text, "; no row is complete"),
                "name an image in each column image:NAME");
  if (source.files.empty()) throw Error(ExitCode::data, csv.name + " has a header, but no rows");
  return source;
}

bool is_table_file(const fs::path& path) {
  const std::string name = path.filename().string();
  return !without_ending(name, ".csv").empty() || !without_ending(name, ".tsv").empty();
}

namespace {

// Whether a table that can't be read seems to have an image
// column: then it is the manifest, and its fault is to be told.
bool seems_a_manifest(const fs::path& path) {
  std::string text = to_lower(read_file(path).substr(0, 4096));
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  std::erase(text, '\0');  // UTF-16
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) text.erase(0, 2);
  if (text.starts_with("sep=")) text.erase(0, text.find('\n') + 1);
  text.erase(0, text.find_first_not_of("\r\n"));
  std::string word;
  for (const char c : text + "\n") {
    if (std::string_view(",;\t\r\n").find(c) == std::string_view::npos) {
      if (c != '"') word += c;
      continue;
    }
    const std::string name(trim(word));
    if (names_channel(name) || std::find(kImageColumns.begin(), kImageColumns.end(), name) != kImageColumns.end())
      return true;
    if (c == '\r' || c == '\n') return false;
    word.clear();
  }
  return false;
}

}  // namespace

std::optional<fs::path> manifest_in(const fs::path& folder) {
  std::vector<fs::path> found;
  std::optional<Error> problem;  // of what is meant as a manifest
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (!is_table_file(entry.path()) || !entry.is_regular_file() || entry.path().filename().string().starts_with('.'))
      continue;
    try {
      const Csv csv = read_csv(entry.path());
      if (csv.column(kImageColumns) || std::any_of(csv.columns.begin(), csv.columns.end(), names_channel))
        found.push_back(entry.path());
    } catch (const Error& error) {  // what does not begin as one is some other table
      if (seems_a_manifest(entry.path()))
        problem.emplace(error.code(), error.what(),
                        concat(error.hint(), error.hint().empty() ? "" : "; ",
                               "mend it, or move it elsewhere if it is not the list of these images"));
    }
  }
  if (found.empty() && problem) throw Error(*problem);
  if (found.size() > 1) {
    std::sort(found.begin(), found.end());
    throw Error(ExitCode::data,
                concat(folder.string(), " holds ", found.size(), " manifests: ", found[0].filename().string(), ", ",
                       found[1].filename().string(), found.size() > 2 ? ", ..." : ""),
                "name the one that is meant");
  }
  return found.empty() ? std::nullopt : std::optional(found[0]);
}

std::vector<SourceRemark> unused_tables(const fs::path& folder) {
  std::vector<SourceRemark> remarks;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!is_table_file(entry.path()) || !entry.is_regular_file() || name.starts_with('.')) continue;
    try {
      const Csv csv = read_csv(entry.path());
      if (csv.rows.empty() || csv.column(kImageColumns) ||
          std::any_of(csv.columns.begin(), csv.columns.end(), names_channel))
        continue;
      const std::vector<std::string>& first = csv.rows.front().fields;
      for (size_t i = 0; i < std::min(first.size(), csv.columns.size()); ++i) {
        if (kind_of(first[i]) == FileKind::other) continue;
        remarks.push_back({name, concat("is not used: its column '", csv.columns[i],
                                        "' names images; call it `image` if this is the list of them")});
        break;
      }
    } catch (const Error&) {  // some other table
      continue;
    }
  }
  std::sort(remarks.begin(), remarks.end(),
            [](const SourceRemark& a, const SourceRemark& b) { return a.name < b.name; });
  return remarks;
}

}  // namespace vmae::io
