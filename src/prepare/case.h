#pragma once
// One case of a prepared dataset: read, cut into slices, packed.
// A pure function of the files and the options; any thread.
#include <optional>
#include <vector>

#include "vmae/cases/label_meaning.h"
#include "vmae/prepare/plan.h"
#include "vmae/prepared/writer.h"

namespace vmae::run {

struct FinishedCase {
  io::PreparedCase a_case;  // with the reason in `failure` where it could not be read
  std::vector<io::PackedItem> items;
  std::optional<io::LabelCounts> mask_values;  // of its mask, before any resizing; empty: it has none
  size_t bytes() const;
};

// mask_names: the dataset's, that the structures of masks that name them are numbered by.
FinishedCase prepare_case(const PlannedCase& planned, int64_t case_number, const PrepareOptions& options,
                          const std::vector<std::string>& mask_names, const Pseudonyms& pseudonyms);

}  // namespace vmae::run
