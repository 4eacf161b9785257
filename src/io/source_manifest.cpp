// A manifest: which columns mean what, and what their cells may hold.
#include <algorithm>
#include <cmath>
#include <set>

#include "source_layouts.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/io/csv.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kImageColumns{"image", "image_path", "path", "file", "filename"};
const std::vector<std::string> kMaskColumns{"mask", "mask_path", "segmentation"};

// Text columns that say which class an image belongs to, and columns of findings.
struct Columns {
  size_t image;
  std::optional<size_t> mask, label, patient, split, fold, modality;
  std::vector<size_t> findings;
};

[[noreturn]] void fail(const Csv& csv, int64_t line, const std::string& what) { throw Error(ExitCode::data, concat(csv.name, ":", line, ": ", what)); }

// 0, 1, NaN for -1 (uncertain, as in CheXpert) and empty; nothing else.
std::optional<float> finding(const std::string& cell) {
  if (cell.empty()) return std::nanf("");
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
  return std::any_of(csv.rows.begin(), csv.rows.end(), [&](const CsvRow& row) { return !row.fields[column].empty(); }) &&
         std::all_of(csv.rows.begin(), csv.rows.end(), [&](const CsvRow& row) { return row.fields[column].empty() || is_image_file(row.fields[column]); });
}

Columns columns_of(const Csv& csv) {
  const auto image = csv.column(kImageColumns);
  if (!image) {
    throw Error(ExitCode::data, concat(csv.name, ":1: no column for the images; its columns are: ", join(csv.columns, ", ")),
                concat("name the column with the paths `image` (or ", join({kImageColumns.begin() + 1, kImageColumns.end()}, ", "), ")"));
  }
  Columns columns{*image,
                  csv.column(kMaskColumns),
                  csv.column({"label", "class"}),
                  csv.column({"patient"}),
                  csv.column({"split"}),
                  csv.column({"fold"}),
                  csv.column({"modality"}),
                  {}};
  if (columns.label && !columns.mask && are_paths(csv, *columns.label)) {
    columns.mask = columns.label;
    columns.label.reset();
  }
  for (size_t column = 0; column < csv.columns.size(); ++column) {
    const bool is_named = column == columns.image || column == columns.mask || column == columns.label || column == columns.patient ||
                          column == columns.split || column == columns.fold || column == columns.modality;
    if (!is_named && !columns.label && is_finding(csv, column)) columns.findings.push_back(column);
  }
  return columns;
}

// Numbers in the order of numbers, everything else in the order of bytes.
std::vector<std::string> classes_of(const Csv& csv, size_t column) {
  std::set<std::string> names;
  for (const CsvRow& row : csv.rows) {
    if (!row.fields[column].empty()) names.insert(row.fields[column]);
  }
  std::vector<std::string> classes(names.begin(), names.end());
  if (std::all_of(classes.begin(), classes.end(), [](const std::string& name) { return parse_integer(name).has_value(); })) {
    std::sort(classes.begin(), classes.end(), [](const std::string& a, const std::string& b) { return *parse_integer(a) < *parse_integer(b); });
  }
  return classes;
}

SourceFile file_of(const Csv& csv, const CsvRow& row, const Columns& columns, const Source& source, const fs::path& folder) {
  const std::string& cell = row.fields[columns.image];
  if (cell.empty()) fail(csv, row.line, "no image is named");
  const auto text = [&](std::optional<size_t> column) { return column ? row.fields[*column] : std::string(); };
  SourceFile file;
  file.path = (folder / cell).lexically_normal();
  file.name = fs::path(cell).is_absolute() ? fs::absolute(file.path).lexically_relative(fs::absolute(folder).lexically_normal()).generic_string()
                                           : fs::path(cell).lexically_normal().generic_string();
  if (const std::string mask = text(columns.mask); !mask.empty()) file.mask = (folder / mask).lexically_normal();
  file.patient = text(columns.patient).empty() ? file.name : text(columns.patient);
  file.modality = modality_code(text(columns.modality));
  file.split = to_lower(text(columns.split));
  if (!file.split.empty() && file.split != "train" && file.split != "val" && file.split != "test") {
    fail(csv, row.line, "split is '" + text(columns.split) + "'; allowed: train, val, test, or empty");
  }
  if (const std::string fold = text(columns.fold); !fold.empty()) {
    const auto number = parse_integer(fold);
    if (!number || *number < 0) fail(csv, row.line, "fold is '" + fold + "'; allowed: 0, 1, 2, ..., or empty");
    file.fold = *number;
  }
  if (columns.label) {
    const std::string& label = row.fields[*columns.label];
    file.labels.assign(source.label_names.size(), label.empty() ? std::nanf("") : 0.0F);
    const auto found = std::find(source.label_names.begin(), source.label_names.end(), label);
    if (!label.empty()) file.labels[static_cast<size_t>(found - source.label_names.begin())] = 1.0F;
  }
  for (const size_t column : columns.findings) file.labels.push_back(*finding(row.fields[column]));
  return file;
}

}  // namespace

Source manifest_source(const fs::path& manifest) {
  const Csv csv = read_csv(manifest);
  const Columns columns = columns_of(csv);
  Source source;
  source.layout = "manifest";
  source.is_multi_label = !columns.label;
  if (columns.label) source.label_names = classes_of(csv, *columns.label);
  for (const size_t column : columns.findings) source.label_names.push_back(csv.columns[column]);
  if (source.label_names.empty()) source.is_multi_label = false;
  const fs::path folder = manifest.has_parent_path() ? manifest.parent_path() : ".";
  std::map<std::string, int64_t> line_of;
  for (const CsvRow& row : csv.rows) {
    SourceFile file = file_of(csv, row, columns, source, folder);
    const auto [first, is_new] = line_of.emplace(file.name, row.line);
    if (!is_new) fail(csv, row.line, concat("names ", row.fields[columns.image], " a second time; the first is line ", first->second));
    source.files.push_back(std::move(file));
  }
  if (source.files.empty()) throw Error(ExitCode::data, csv.name + " has a header, but no rows");
  return source;
}

namespace {

// Whether the first line alone names a column of images: then a table that can't be read is meant as a manifest. In any encoding, and if it is wrong otherwise.
bool begins_as_manifest(const std::string& text) {
  std::string line, field;
  for (const char c : text.substr(0, 1 << 16)) {
    if ((c == '\n' || c == '\r') && !line.empty()) break;
    if (c == '\t' || static_cast<signed char>(c) > ' ') line += c;
  }
  for (const char c : line + ',') {
    if (c == '"') continue;
    if (c != ',' && c != ';' && c != '\t') {
      field += c;
      continue;
    }
    if (std::find(kImageColumns.begin(), kImageColumns.end(), to_lower(field)) != kImageColumns.end()) return true;
    field.clear();
  }
  return false;
}

}  // namespace

std::optional<fs::path> manifest_in(const fs::path& folder) {
  std::vector<fs::path> found;
  std::optional<Error> problem;  // of what is meant as a manifest
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string extension = to_lower(entry.path().extension().string());
    if ((extension != ".csv" && extension != ".tsv") || !entry.is_regular_file() || entry.path().filename().string().starts_with(".")) continue;
    std::optional<std::string> text;
    try {
      text = read_file(entry.path());
      if (parse_csv(*text, entry.path().string()).column(kImageColumns)) found.push_back(entry.path());
    } catch (const Error& error) {  // what begins otherwise is some other table
      if (!text || begins_as_manifest(*text))
        problem.emplace(error.code(), error.what(), "mend it, or move it elsewhere if it is not the list of these images");
    }
  }
  if (found.empty() && problem) throw Error(*problem);
  if (found.size() > 1) {
    std::sort(found.begin(), found.end());
    throw Error(ExitCode::data,
                concat(folder.string(), " holds ", found.size(), " manifests: ", found[0].filename().string(), ", ", found[1].filename().string()),
                "name the one that is meant");
  }
  return found.empty() ? std::nullopt : std::optional(found[0]);
}

}  // namespace vmae::io
