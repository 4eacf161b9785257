#pragma once
// What `vmae prepare` is going to do: every case with its size, in the order of the dataset, divided into shards.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "vmae/image/image.h"
#include "vmae/prepare/prepare.h"
#include "vmae/prepare/pseudonyms.h"
#include "vmae/sources/source.h"

namespace vmae::run {

// What is prepared: as find_source(), except that folders are
// classes only where asked for, since their names are written.
io::Source source_to_prepare(const std::filesystem::path& input, const std::string& layout,
                             const std::vector<std::string>& findings = {});

struct PlannedCase {
  io::SourceFile file;
  std::optional<io::VolumeHeader> header;  // empty for pictures
  std::vector<std::string> structures;     // that its mask names; empty: its values are kept
  std::string problem;                     // why its header can't be read, or ""
  uint64_t bytes = 0;                      // of its files
  std::vector<int64_t> channels{};         // as io::PreparedCase, of which each channel is one
  int64_t channel_of = -1;
};

// All files that the image consists of: a series, or a file with what is read with it.
std::vector<std::filesystem::path> files_of(const io::SourceFile& file);

struct PlannedShard {
  size_t first_case = 0, num_cases = 0;
  std::string file() const;  // by the number of its first case
};

struct Plan {
  std::string layout;
  std::vector<PlannedCase> cases;
  std::vector<PlannedShard> shards;
  std::vector<std::string> label_names, mask_names, channel_names;
  bool is_multi_label = false, has_masks = false;
  std::string slice_axis;  // prepare.slice_axis, or what auto came to for its volumes
  int64_t ignore_label = -1;
  std::vector<io::LabelRegion> regions;
  std::string intensity;                 // which rule makes intensities [0, 1], here or in training, of how many cases
  std::vector<std::string> identifying;  // as io::Source
  std::vector<io::SourceRemark> refused, remarks;
  std::string fingerprint;  // of cases and options: a plan with another one is another dataset
};

// prepare.structures as masks name them, without spaces around. Throws
// Error(usage) where a name is empty or a structure comes twice.
std::vector<NamedTexts> classes_of_structures(const std::vector<NamedTexts>& given);

// `pseudonyms` learns which texts identify patients.
Plan make_plan(const std::filesystem::path& input, const PrepareOptions& options, Pseudonyms& pseudonyms);

// The options that decide the content, as key=value.
std::vector<std::string> content_options(const PrepareOptions& options);

}  // namespace vmae::run
