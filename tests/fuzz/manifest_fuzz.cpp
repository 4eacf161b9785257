// Manifests: the table, and the list of images that it names.
#include "scratch_file.h"
#include "vmae/core/error.h"
#include "vmae/sources/csv.h"
#include "vmae/sources/source.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = vmae::test::text_of(data, size);
  try {
    const vmae::io::Csv csv = vmae::io::parse_csv(text, "input.csv");
    for (const vmae::io::CsvRow& row : csv.rows) {
      if (row.fields.size() != csv.columns.size()) std::abort();
    }
  } catch (const vmae::Error&) {
    return 0;
  }
  try {
    const vmae::test::ScratchFile file("input.csv", text);
    for (const vmae::io::SourceFile& image : vmae::io::list_source(file.path())) {
      if (image.path.empty() || image.name.empty() || image.patient.empty()) std::abort();
    }
  } catch (const vmae::Error&) {
  }
  return 0;
}
