#pragma once
// What `vmae plan` reads of a dataset.
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "vmae/cases/label_meaning.h"
#include "vmae/cases/source_file.h"
#include "vmae/nnunet/fingerprint.h"
#include "vmae/nnunet/planner.h"
#include "vmae/runs/plan_command.h"

namespace vmae::run {

struct PlanData {
  nnunet::DatasetFacts dataset;
  nnunet::Fingerprint fingerprint;
  std::vector<std::string> class_names;  // of mask values 1, 2, ...
  std::vector<std::string> region_names;
  bool has_ignore = false;
  int64_t num_without_foreground = 0;
};

// What a run knows already of the data that it plans for.
struct KnownData {
  const io::LabelMeaning* meaning = nullptr;     // of the masks; nullptr: as the source says
  std::vector<std::string>* left_out = nullptr;  // gets the problems of cases that can't be read; nullptr: they throw
  // by name: the files that may be looked at, of which it is settled what they are; nullptr: all
  const std::map<std::string, io::SourceFile>* files = nullptr;
};

// The cases with a mask that are not marked as test (and are among `known.files`), in nnU-Net's order.
PlanData read_plan_data(const std::filesystem::path& input, const PlanOptions& options, const KnownData& known = {});

}  // namespace vmae::run
