#pragma once
// A prepared dataset: what `vmae prepare` writes, read by memory mapping (LMDB, read-only, no locks: it
// may lie on a parallel file system and be used by many processes). An item is one slice or picture, a
// case is the volume, series or picture that it was cut from. docs/data.md describes the files.
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmae/cases/source_file.h"
#include "vmae/image/image.h"

namespace vmae::io {

// Over all values of a case, in units. What intensity rules that look at a whole volume need.
struct IntensityStats {
  float min = 0, max = 0, mean = 0, std = 0;
  float percentile_low = 0, percentile_high = 0;  // at PreparedInfo::percentiles
};

// One item as it lies in the map; valid as long as the dataset.
struct PreparedItem {
  int64_t case_number = 0;  // its case
  int64_t slice = 0;        // within the case
  int64_t height = 0, width = 0, channels = 0;
  StoredType type = StoredType::u8;
  Scaling scaling;
  double stored_max = 0;  // as in Image
  IntensityStats stats;
  std::string_view pixels, mask;  // compressed; mask is empty where there is none
  std::string_view record;        // all bytes
  uint8_t filter = 0;             // how pixels were filtered before compression
  size_t pixel_bytes() const { return static_cast<size_t>(height * width * channels) * size_of(type); }
  size_t mask_bytes() const { return static_cast<size_t>(height * width); }
};

struct PreparedCase {
  std::string name;                        // as `prepare.names` says: a salted hash, or the path in the source
  std::string patient;                     // a salted hash
  std::optional<bool> is_patient_known{};  // as io::SourceFile; datasets of older versions do not say it
  std::string split;                       // train, val, test or ""
  int64_t fold = -1;
  std::string modality;
  Units units = Units::raw;
  int axis = 2;  // of the volume, that slices are perpendicular to
  std::array<int64_t, 3> size{};
  std::array<double, 3> spacing_mm{1, 1, 1}, origin_mm{0, 0, 0};
  std::array<double, 9> direction{1, 0, 0, 0, 1, 0, 0, 0, 1};
  // false: a stack of pictures whose spacing is not known (single
  // pictures: read_prepared_mask() tells them by their geometry)
  bool has_millimetres = true;
  std::vector<float> labels;  // one per PreparedInfo::label_names, NaN where unknown; or empty
  int64_t first_item = 0, num_items = 0;

  std::string failure;                  // why it could not be prepared (then num_items is 0), or ""
  std::string source_sha256;            // of the source's bytes
  std::string pixels_sha256;            // of all values as read, with their shape: equal for exact duplicates
  std::string items_sha256;             // of the records of its items
  std::optional<int64_t> duplicate_of;  // the first case with the same pixels

  // of a case of several channels (channels.h): the cases that hold the further ones, slice by slice
  std::vector<int64_t> channels;
  int64_t channel_of = -1;  // the case whose further channel this is; -1: of none
};

struct PreparedShard {
  std::string file;  // in the dataset's folder
  int64_t first_case = 0, num_cases = 0, first_item = 0, num_items = 0;
};

// index.json
struct PreparedInfo {
  int64_t num_items = 0, num_cases = 0;  // cases that failed included
  std::vector<PreparedShard> shards;
  std::string digest;                         // SHA-256 over all cases, their items, and this index
  std::vector<std::string> options;           // of `vmae prepare`: key=value
  std::map<std::string, int64_t> modalities;  // cases by modality, "" where it is not known; failed ones left out
  int64_t num_failed = 0, num_duplicates = 0;
  std::string layout;  // of the source, as io::Source::layout
  std::vector<double> percentiles{0.5, 99.5};
  // native: numbers as in the source; else what was applied, and values lie in [0, 1]
  std::string intensity = "native";
  std::vector<std::string> label_names;    // findings or classes
  bool is_multi_label = false;             // label_names are findings (0 or 1 each); else classes (one of them is 1)
  std::vector<std::string> channel_names;  // as io::Source
  std::vector<std::string> mask_names;     // of mask values 1, 2, ...; may be empty
  // with the numbers of their files: what they mean is not decided here (label_meaning.h)
  bool has_masks = false;
  int64_t ignore_label = -1;  // as io::Source
  std::vector<LabelRegion> regions;
};

// Columns of the manifest that prepare.findings said are the labels. Empty: none was named.
std::vector<std::string> label_columns(const PreparedInfo& dataset);

// What `vmae prepare` left out of a dataset (`dir` or its index.json), by the dataset's names, with the reasons.
std::vector<SourceRemark> left_out_of(const std::filesystem::path& dir);

class PreparedDataset {
 public:
  // `dir` or its index.json. Throws Error(data) naming the file: not
  // a prepared dataset, not finished, of a later version, damaged.
  explicit PreparedDataset(const std::filesystem::path& dir);
  PreparedDataset(const std::filesystem::path& dir, PreparedInfo info);  // one that is about to be finished
  ~PreparedDataset();
  PreparedDataset(PreparedDataset&&) noexcept;

  const PreparedInfo& info() const;
  int64_t size() const { return info().num_items; }

  // All of these are const and thread-safe, and item() and decode() allocate nothing after a thread's first call.
  PreparedItem item(int64_t index) const;  // throws Error(data) if damaged
  // pixel_bytes(); throws Error(data) if the checksum is wrong
  void decode(const PreparedItem& item, std::byte* pixels) const;
  void decode_mask(const PreparedItem& item, uint8_t* mask) const;  // mask_bytes(); zeros where there is no mask
  PreparedCase read_case(int64_t case_number) const;
  std::string compute_digest() const;  // reads everything; throws Error(data) at the first damaged record

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// All slices of a case as the volume that they were cut from, on its grid: stored numbers and scalings as in
// the dataset (slices across z with scalings of their own, or of different types, come as float32 in units).
// Slices that were resized when they were prepared give a volume of that many pixels over the same place in
// space. `units` are the case's, unless the dataset's intensities are not native: then numbers lie in [0, 1]
// and units are raw. Throws Error(data): the case failed, a slice is missing, damaged or of another size.
Volume read_prepared_case(const PreparedDataset& dataset, int64_t case_number);

// Whether `path` is a prepared dataset (a folder with index.json of ours, or that file).
bool is_prepared(const std::filesystem::path& path);

}  // namespace vmae::io
