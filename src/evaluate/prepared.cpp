// Prepared datasets in evaluation: their masks as the truth, and
// predictions that were made of their slices on the files' own grid.
#include <algorithm>

#include "input.h"
#include "vmae/cases/read_image.h"
#include "vmae/cases/read_label_map.h"
#include "vmae/core/text.h"
#include "vmae/prepare/prepare.h"
#include "vmae/prepared/mask.h"

namespace vmae::run {

PreparedTruth::PreparedTruth(const std::filesystem::path& path) : dataset(path) {}

std::string PreparedTruth::grid_remark(size_t num_resized, size_t num_cases) const {
  const PrepareOptions options = options_of_dataset(dataset.info().options);
  const std::string size =
      options.resize.size() == 2 ? concat(" to ", options.resize[0], " x ", options.resize[1], " pixels") : "";
  return concat("Measured on the grid that was prepared: slices were resized",
                options.keep_aspect ? ", keeping their aspect," : "", size,
                num_resized < num_cases ? concat(" (", num_resized, " of ", num_cases, " cases)") : "",
                ". For the files' own grid give what the dataset was prepared from: --truth SOURCE");
}

io::LabelMap truth_map(const TruthCase& one) {
  if (one.prepared) return io::read_prepared_mask(one.prepared->dataset, one.file.prepared_case);
  return one.label_map.empty() ? io::read_label_map(one.file) : io::read_label_map(one.label_map);
}

io::Volume image_of(const TruthCase& one) {
  if (one.file.prepared_case < 0) return io::read_image(one.file);
  if (one.prepared) return io::read_prepared_case(one.prepared->dataset, one.file.prepared_case);
  return io::read_prepared_case(io::PreparedDataset(one.file.path), one.file.prepared_case);
}

}  // namespace vmae::run
