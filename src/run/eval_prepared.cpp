// Prepared datasets in evaluation: their masks as the truth, and predictions that were made of their slices on the files' own grid.
#include <algorithm>

#include "eval_input.h"
#include "vmae/core/text.h"
#include "vmae/io/prepared_mask.h"
#include "vmae/io/read_image.h"
#include "vmae/run/prepare.h"

namespace vmae::run {

namespace {

// A mask's values by the names of the dataset, where these are those of the classes in another order; else values are the classes' numbers, as in training.
void renumber(io::LabelMap& map, const std::vector<std::string>& names, const std::vector<std::string>& classes) {
  if (names.empty() || names == classes) return;
  std::vector<uint8_t> to(256, 0);
  for (size_t label = 0; label < to.size(); ++label) to[label] = static_cast<uint8_t>(label);
  for (size_t i = 0; i < names.size() && i < 255; ++i) {
    const auto found = std::find(classes.begin(), classes.end(), names[i]);
    if (found == classes.end()) return;
    to[i + 1] = static_cast<uint8_t>(found - classes.begin() + 1);
  }
  for (uint8_t& label : map.labels) label = to[label];
}

}  // namespace

PreparedTruth::PreparedTruth(const std::filesystem::path& path) : dataset(path) {}

std::string PreparedTruth::grid_remark(size_t num_resized, size_t num_cases) const {
  const PrepareOptions options = options_of_dataset(dataset.info().options);
  const std::string size = options.resize.size() == 2 ? concat(" to ", options.resize[0], " x ", options.resize[1], " pixels") : "";
  return concat("Measured on the grid that was prepared: slices were resized", options.keep_aspect ? ", keeping their aspect," : "", size,
                num_resized < num_cases ? concat(" (", num_resized, " of ", num_cases, " cases)") : "",
                ". For the files' own grid give what the dataset was prepared from: --truth SOURCE");
}

io::LabelMap truth_map(const TruthCase& one, const std::vector<std::string>& classes, bool keeps_255) {
  if (!one.prepared) return io::read_label_map(one.label_map.empty() ? one.file.mask : one.label_map, keeps_255);
  io::LabelMap map = io::read_prepared_mask(one.prepared->dataset, one.file.prepared_case);
  renumber(map, one.prepared->dataset.info().mask_names, classes);
  return map;
}

io::Volume image_of(const TruthCase& one) {
  if (one.file.prepared_case < 0) return io::read_image(one.file);
  if (one.prepared) return io::read_prepared_case(one.prepared->dataset, one.file.prepared_case);
  return io::read_prepared_case(io::PreparedDataset(one.file.path), one.file.prepared_case);
}

}  // namespace vmae::run
