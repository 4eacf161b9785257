#pragma once
// What `vmae prepare` is going to do: every case with its size, in the order of the dataset, divided into shards.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "vmae/image/image.h"
#include "vmae/prepare/prepare.h"
#include "vmae/sources/source.h"

namespace vmae::run {

// Turns paths and patients into keys that can't be turned back without the salt.
class Pseudonyms {
 public:
  Pseudonyms(std::string salt, bool keeps_names) : salt_(std::move(salt)), keeps_names_(keeps_names) {}
  std::string name(const std::string& path) const;  // 16 hexadecimal digits, or the path itself if names are kept
  std::string patient(const std::string& id) const;
  // A message of an error without the paths of the case's files or anything else that looks like a path.
  std::string redact(std::string message, const io::SourceFile& file) const;
  // The same without a case: texts that identify patients, and whatever looks like a path or a file name, are removed.
  std::string redact(std::string text) const;
  std::string salt_check() const;                          // tells one salt from another, and nothing else
  std::string redact_name(const std::string& name) const;  // of a structure, which is no path: by words (io::without)
  void know(const std::vector<std::string>& identifying);  // texts that DICOM headers hold

 private:
  std::string salt_;
  bool keeps_names_;
  std::vector<std::string> identifying_;
};
// Reads prepare.salt_file; makes it (readable by the user alone)
// if it is the default one and absent, unless it must be there.
std::string read_salt(const std::filesystem::path& salt_file, bool may_make = true);

bool has_own_salt();  // whether the default one is there

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

// What was found, for people: cases, patients, modalities, sizes, problems. Names nothing that identifies.
std::string describe_plan(const Plan& plan, const Pseudonyms& pseudonyms);

// The options that decide the content, as key=value.
std::vector<std::string> content_options(const PrepareOptions& options);

}  // namespace vmae::run
