#include "vmae/data/modality.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>

#include "vmae/cases/channels.h"
#include "vmae/cases/read_image.h"
#include "vmae/core/error.h"
#include "vmae/core/machine.h"
#include "vmae/core/parallel.h"
#include "vmae/core/spread.h"
#include "vmae/data/intensity.h"
#include "vmae/image/modality_code.h"
#include "vmae/image/picture.h"
#include "vmae/prepared/prepared.h"
#include "vmae/volume/volume.h"

namespace vmae::data {
namespace {

constexpr int64_t kLookedAt = 8;

// The datasets that a list of files has cases of, opened once each.
class Datasets {
 public:
  const io::PreparedDataset& of(const io::SourceFile& file) {
    std::shared_ptr<const io::PreparedDataset>& one = datasets_[file.path.string()];
    if (!one) one = std::make_shared<const io::PreparedDataset>(file.path);
    return *one;
  }

 private:
  std::map<std::string, std::shared_ptr<const io::PreparedDataset>> datasets_;
};

bool is_readable_picture(const io::SourceFile& file) {
  try {
    return io::is_picture(file.path) && io::picture_header(file.path).has_value();
  } catch (const Error&) {  // reading it will say so
    return false;
  }
}

bool is_voxel_file(const io::SourceFile& file) {
  return file.series.empty() && (io::is_volume(file.path) || is_readable_picture(file));
}

ImageKind kind_of_case(const io::PreparedDataset& dataset, const io::SourceFile& file) {
  const io::PreparedCase one = dataset.read_case(file.prepared_case);
  return known_as({one.modality, one.units, dataset.item(one.first_item).stored_max}, file.modality);
}

// Of these a modality changes how intensities are scaled, and values may tell it.
bool may_be_ct(const io::SourceFile& file, Datasets& datasets) {
  if (!says_nothing(file)) return false;
  if (file.prepared_case < 0) return is_voxel_file(file);
  const io::PreparedDataset& dataset = datasets.of(file);
  if (dataset.info().intensity != "native") return false;
  const ImageKind kind = kind_of_case(dataset, file);
  return kind.units == io::Units::raw && !(kind.stored_max > 0);
}

bool looks_like_ct(const io::SourceFile& file, const io::PreparedDataset* dataset) {
  try {
    const io::Volume volume =
        dataset != nullptr ? io::read_prepared_case(*dataset, file.prepared_case) : io::read_image(file);
    return volume.channels == 1 && volume.units == io::Units::raw && looks_like_hounsfield(io::values(volume));
  } catch (const std::exception&) {  // found again, and named, when its turn comes
    return false;
  }
}

// In the order of `files`, whatever thread looked at which.
std::vector<char> look_at(const std::vector<const io::SourceFile*>& files, Datasets& datasets) {
  std::vector<const io::PreparedDataset*> dataset_of(files.size(), nullptr);
  for (size_t i = 0; i < files.size(); ++i) {
    if (files[i]->prepared_case >= 0) dataset_of[i] = &datasets.of(*files[i]);
  }
  std::vector<char> is_ct(files.size(), 0);
  parallel_for(std::ssize(files), std::min(usable_threads(), 4), [&](int64_t number) {  // each thread holds a volume
    const auto i = static_cast<size_t>(number);
    is_ct[i] = looks_like_ct(*files[i], dataset_of[i]) ? 1 : 0;
  });
  return is_ct;
}

std::string rule_text(IntensityRule rule, const ImageOptions& image, bool is_hu) {
  const auto pair = [](double low, double high) { return concat(number_text(low), " to ", number_text(high)); };
  if (rule == IntensityRule::window) {
    const IntensityRange range = fixed_range(rule, 0.0, image);
    return concat("window ", pair(range.low, range.high), is_hu ? " HU" : "");
  }
  if (rule == IntensityRule::suv) return "SUV " + pair(0.0, image.suv_max);
  if (rule == IntensityRule::percentile) return "percentiles " + pair(image.percentiles[0], image.percentiles[1]);
  if (rule == IntensityRule::minmax) return "extremes of each slice";
  return rule == IntensityRule::zscore ? "mean and standard deviation" : "as stored";
}

// Two texts: the rule, and what files of this kind are.
std::pair<std::string, std::string> rule_and_kind(const io::SourceFile& file, const ImageOptions& image,
                                                  Datasets& datasets) {
  const std::string known = file.modality.empty() ? "modality not known" : file.modality;
  if (file.prepared_case >= 0) {
    const io::PreparedDataset& dataset = datasets.of(file);
    if (dataset.info().intensity != "native") return {"as prepared (" + dataset.info().intensity + ")", "prepared"};
    const ImageKind kind = kind_of_case(dataset, file);
    return {rule_text(intensity_rule(image, kind), image, kind.units == io::Units::hu),
            kind.modality.empty() ? "modality not known" : kind.modality};
  }
  if (image.intensity != "auto") return {rule_text(intensity_rule(image, {}), image, /*is_hu=*/false), ""};
  const bool is_series = !file.series.empty(), is_volume = is_series || is_voxel_file(file);
  // listed by a manifest: not opened yet
  if (!is_volume && !io::is_picture(file.path)) return {"what each file is", "DICOM"};
  if (!is_volume && (file.modality == "MR" || file.modality == "PT"))
    return {"as stored in 8 bits, else percentiles", known + " pictures"};
  if (!is_volume)
    return {"as stored, or percentiles of floats", file.modality.empty() ? "pictures" : known + " pictures"};
  if (file.modality == "CT") return {rule_text(IntensityRule::window, image, /*is_hu=*/true), known};
  if (is_series && file.modality == "PT")
    return {rule_text(IntensityRule::suv, image, false) + " (percentiles where SUV is not known)", known};
  // of a series the others are pictures
  const double stored_max = is_series && file.modality != "MR" && file.modality != "NM" ? 255.0 : 0.0;
  return {rule_text(intensity_rule(image, {file.modality, io::Units::raw, stored_max}), image, false), known};
}

}  // namespace

// DICOM files that a manifest names say it when they are read.
bool says_nothing(const io::SourceFile& file) {
  return file.modality.empty() &&
         (file.prepared_case >= 0 || !file.series.empty() || io::is_volume(file.path) || io::is_picture(file.path));
}

std::string checked_modality(const std::string& key, const std::string& text) {
  if (text.empty()) return "";
  std::string code = io::modality_code(text);
  if (code.empty() || (io::dicom_modality(code) == "OT" && code != "OT"))
    throw Error(ExitCode::usage, concat(key, " = ", text, " is not known"),
                "give DICOM's code, as CT, MR, PT, US, DX, MG, XC, or leave it empty");
  return code;
}

bool looks_like_hounsfield(const std::vector<float>& values) {
  constexpr size_t kMaxSampled = 1'000'000;
  // odd: visits every column of images of even width
  const size_t stride = std::max<size_t>(1, values.size() / kMaxSampled) | 1U;
  std::vector<float> looked_at;
  float smallest = 0;
  for (size_t i = 0; i < values.size(); i += stride) {
    if (!std::isfinite(values[i])) return false;
    looked_at.push_back(values[i]);
    smallest = std::min(smallest, values[i]);
  }
  if (looked_at.empty() || smallest > -700 || smallest < -10000) return false;
  size_t num_air = 0, num_soft = 0, num_below = 0, num_light = 0, num_between = 0;
  std::vector<float> dense;
  for (const float value : looked_at) {
    const bool is_filling = value == smallest && value < -900;
    num_air += is_filling || (value >= -1100 && value <= -900) ? 1 : 0;
    num_below += !is_filling && value < -1100 ? 1 : 0;
    num_light += value < -600 ? 1 : 0;
    num_between += value >= -600 && value < -250 ? 1 : 0;
    num_soft += value >= -150 && value <= 150 ? 1 : 0;
    if (value > -500) dense.push_back(value);
  }
  const size_t count = looked_at.size();
  if (200 * num_air < count || 50 * num_soft < count || 100 * num_below > count || 2 * num_between > num_light ||
      dense.empty())
    return false;
  const auto middle = dense.begin() + static_cast<std::ptrdiff_t>(dense.size() / 2);
  std::nth_element(dense.begin(), middle, dense.end());
  return *middle >= -150 && *middle <= 300;
}

ModalityGuess settle_modality(std::vector<io::SourceFile>& files, const std::string& said, bool may_guess) {
  ModalityGuess guess;
  Datasets datasets;
  std::vector<io::SourceFile*> unknown;
  const auto settle = [&](io::SourceFile& file) {
    if (!said.empty() && says_nothing(file)) file.modality = said;
    if (said.empty() && may_guess && may_be_ct(file, datasets)) unknown.push_back(&file);
  };
  for (io::SourceFile& file : files) {
    settle(file);
    std::for_each(file.channels.begin(), file.channels.end(), settle);
  }
  guess.num_unknown = static_cast<int64_t>(unknown.size());
  if (unknown.empty()) return guess;
  std::vector<const io::SourceFile*> sample;
  for (const int64_t i : evenly_spread(std::ssize(unknown), kLookedAt))
    sample.push_back(unknown[static_cast<size_t>(i)]);
  const std::vector<char> seen = look_at(sample, datasets);
  const auto num_seen = static_cast<size_t>(std::count(seen.begin(), seen.end(), 1));
  if (num_seen == 0) return guess;
  std::vector<char> is_ct(unknown.size(), 1);
  if (num_seen < seen.size()) is_ct = look_at({unknown.begin(), unknown.end()}, datasets);
  for (size_t i = 0; i < unknown.size(); ++i) {
    if (is_ct[i] == 0) continue;
    unknown[i]->modality = "CT";
    ++guess.num_ct;
  }
  return guess;
}

std::string intensity_text(const std::vector<io::SourceFile>& files, const ImageOptions& image,
                           const std::string& unit) {
  Datasets datasets;
  std::map<std::pair<std::string, std::string>, int64_t> counts;
  for (const io::SourceFile& file : io::single_channels(files)) ++counts[rule_and_kind(file, image, datasets)];
  std::vector<std::string> texts;
  for (const auto& [rule_and_kind, count] : counts) {
    const auto& [rule, kind] = rule_and_kind;
    texts.push_back(
        concat(rule, " on ", count, " ", unit, count == 1 ? "" : "s", kind.empty() ? "" : concat(" (", kind, ")")));
  }
  return join(texts, "; ");
}

std::vector<std::string> volume_rules(const std::vector<io::SourceFile>& files, const ImageOptions& image) {
  Datasets datasets;
  std::set<std::string> rules;
  for (const io::SourceFile& file : files) {
    const std::string rule = rule_and_kind(file, image, datasets).first;
    if (rule.starts_with("window") || rule.starts_with("SUV") || rule.starts_with("percentiles")) rules.insert(rule);
  }
  return {rules.begin(), rules.end()};
}

}  // namespace vmae::data
