// Slices of a prepared dataset. Selected cases become runs of items that follow each other, so a whole dataset
// is one run; per case there is one byte for its intensity rule, and its labels where a task wants them.
#include <algorithm>
#include <cmath>
#include <map>

#include "vmae/core/crc32c.h"
#include "vmae/core/error.h"
#include "vmae/data/prepared_source.h"

namespace vmae::data {
namespace {

struct Run {
  int64_t first_index;  // in this source
  int64_t first_item;   // in the dataset
};

class PreparedSource : public SampleSource {
 public:
  PreparedSource(std::shared_ptr<const io::PreparedDataset> dataset, const std::vector<PreparedChoice>& cases,
                 const ImageOptions& image, const Targets& targets)
      : dataset_(std::move(dataset)), image_(image), num_labels_(targets.num_labels), needs_mask_(targets.mask) {
    const io::PreparedInfo& info = dataset_->info();
    is_native_ = info.intensity == "native";
    if (!is_native_ && image.intensity != "auto") {
      throw Error(ExitCode::usage,
                  concat("data.intensity is ", image.intensity,
                         ", but the dataset was prepared with intensity = ", info.intensity),
                  "set data.intensity to auto, or prepare the dataset with native numbers");
    }
    const bool has_labels = !cases.empty() && !cases.front().labels.empty();  // of their own
    if (targets.mask && !info.has_masks)
      throw Error(ExitCode::data, "the prepared dataset has no masks", "prepare it from images with masks");
    if (num_labels_ > 0 && !has_labels && static_cast<int64_t>(info.label_names.size()) != num_labels_)
      throw Error(ExitCode::data,
                  concat("the prepared dataset has ", info.label_names.size(), " labels; needed: ", num_labels_));
    rules_.resize(static_cast<size_t>(info.num_cases));
    if (num_labels_ > 0) labels_.resize(static_cast<size_t>(info.num_cases * num_labels_), std::nanf(""));
    for (const PreparedChoice& one : cases) add(one);
  }

  int64_t size() const override { return size_; }
  int64_t num_files() const override { return size_; }
  std::string file_name(int64_t index) const override { return id(index); }
  std::string id(int64_t index) const override {
    const io::PreparedItem item = dataset_->item(item_number(index));
    const io::PreparedCase one = dataset_->read_case(item.case_number);
    return one.num_items == 1 ? one.name : concat(one.name, '#', io::axis_name(one.axis), item.slice);
  }
  int64_t case_number(int64_t index) const override { return dataset_->item(item_number(index)).case_number; }
  std::string case_name(int64_t index) const override { return dataset_->read_case(case_number(index)).name; }
  const float* labels(int64_t index) const override {
    return labels_.data() + static_cast<size_t>(dataset_->item(item_number(index)).case_number * num_labels_);
  }
  uint32_t checksum(uint32_t crc) const override { return crc32c(&crc_, sizeof(crc_), crc); }

  Slice read(int64_t index, bool with_mask, SliceBuffer& buffer) const override {
    const io::PreparedItem item = dataset_->item(item_number(index));
    Slice slice = decoded(item, buffer);
    if (const auto further = channels_.find(item.case_number); further != channels_.end())
      slice = stacked(slice, item, further->second, buffer);
    if (with_mask && !item.mask.empty()) {
      buffer.mask.resize(item.mask_bytes());
      dataset_->decode_mask(item, reinterpret_cast<uint8_t*>(buffer.mask.data()));
      slice.mask = reinterpret_cast<const uint8_t*>(buffer.mask.data());
    }
    return slice;
  }

 private:
  Slice decoded(const io::PreparedItem& item, SliceBuffer& buffer) const {
    buffer.pixels.resize(item.pixel_bytes());
    dataset_->decode(item, buffer.pixels.data());
    return {item.height,          item.width,   item.channels,  item.type,
            buffer.pixels.data(), item.scaling, range_of(item), nullptr};
  }

  // The slice of this number of each channel, side by side, each in [0, 1] by its own range.
  Slice stacked(const Slice& first, const io::PreparedItem& item, const std::vector<int64_t>& further,
                SliceBuffer& buffer) const {
    const auto num_pixels = static_cast<size_t>(first.height * first.width), count = 1 + further.size();
    std::vector<float>& pixels = buffer.image.pixels;
    pixels.resize((count + 1) * num_pixels);  // and room for one channel
    float* channel = pixels.data() + count * num_pixels;
    for (size_t c = 0; c < count; ++c) {
      const io::PreparedItem other = c == 0 ? item : dataset_->item(further[c - 1] + item.slice);
      const Slice slice = c == 0 ? first : decoded(other, buffer);
      if (slice.channels != 1 || slice.height != first.height || slice.width != first.width ||
          other.slice != item.slice)
        throw Error(ExitCode::data, "its channels are in colour, or not of one size",
                    "prepare the dataset again, or set data.channels=single");
      to_unit(slice, channel);
      for (size_t i = 0; i < num_pixels; ++i) pixels[i * count + c] = channel[i];
    }
    return {first.height,  first.width, static_cast<int64_t>(count), io::StoredType::f32,
            pixels.data(), {},          {0.0, 1.0, /*clamp=*/false}, nullptr};
  }

  void add(const PreparedChoice& choice) {
    const int64_t number = choice.number;
    const io::PreparedCase one = dataset_->read_case(number);
    for (const PreparedChoice& channel : choice.channels) {
      const io::PreparedCase other = dataset_->read_case(channel.number);
      add_rule(channel.number, other, channel.modality);
      channels_[number].push_back(other.first_item);
      crc_ = crc32c(other.items_sha256.data(), other.items_sha256.size() + 1, crc_);
    }
    for (const std::string* text : {&one.name, &one.items_sha256}) crc_ = crc32c(text->data(), text->size() + 1, crc_);
    if (one.num_items > 0) {
      if (runs_.empty() || runs_.back().first_item + size_ - runs_.back().first_index != one.first_item)
        runs_.push_back({size_, one.first_item});
      size_ += one.num_items;
      const io::PreparedItem first = dataset_->item(one.first_item);
      if (needs_mask_ && first.mask.empty())
        throw Error(ExitCode::data, concat("case ", one.name, " has no mask"),
                    "give one for every image, or leave the image out");
      add_rule(number, one, choice.modality);
    }
    const std::vector<float>& labels = choice.labels.empty() ? one.labels : choice.labels;
    if (num_labels_ > 0 && labels.size() == static_cast<size_t>(num_labels_))
      std::copy(labels.begin(), labels.end(), labels_.begin() + static_cast<std::ptrdiff_t>(number * num_labels_));
  }

  void add_rule(int64_t number, const io::PreparedCase& one, const std::string& modality) {
    const double stored_max = dataset_->item(one.first_item).stored_max;
    const IntensityRule rule = intensity_rule(image_, known_as({one.modality, one.units, stored_max}, modality));
    if (is_native_ && rule == IntensityRule::percentile && image_.percentiles != dataset_->info().percentiles) {
      const auto& known = dataset_->info().percentiles;
      throw Error(ExitCode::usage,
                  concat("data.percentiles is [", image_.percentiles[0], ", ", image_.percentiles[1],
                         "], but the dataset was prepared with [", known[0], ", ", known[1], "]"),
                  "use the dataset's, or prepare it with the others");
    }
    rules_[static_cast<size_t>(number)] = rule;
  }

  int64_t item_number(int64_t index) const {
    const auto after = std::upper_bound(runs_.begin(), runs_.end(), index,
                                        [](int64_t i, const Run& run) { return i < run.first_index; });
    const Run& run = *(after - 1);
    return run.first_item + index - run.first_index;
  }

  IntensityRange range_of(const io::PreparedItem& item) const {
    if (!is_native_) return {0.0, 1.0};
    const IntensityRule rule = rules_[static_cast<size_t>(item.case_number)];
    if (rule == IntensityRule::percentile) return {item.stats.percentile_low, item.stats.percentile_high};
    if (rule == IntensityRule::zscore)
      return {item.stats.mean, static_cast<double>(item.stats.mean) + item.stats.std, /*clamp=*/false};
    return fixed_range(rule, item.stored_max, image_);
  }

  std::shared_ptr<const io::PreparedDataset> dataset_;
  ImageOptions image_;
  int64_t num_labels_, size_ = 0;
  bool needs_mask_, is_native_ = true;
  uint32_t crc_ = 0;  // of the cases' names and contents
  std::vector<Run> runs_;
  std::map<int64_t, std::vector<int64_t>> channels_;  // by case: where the items of its further channels begin
  std::vector<IntensityRule> rules_;                  // by case
  std::vector<float> labels_;                         // by case
};

}  // namespace

std::unique_ptr<SampleSource> prepared_source(std::shared_ptr<const io::PreparedDataset> dataset,
                                              const std::vector<PreparedChoice>& cases, const ImageOptions& image,
                                              const Targets& targets) {
  return std::make_unique<PreparedSource>(std::move(dataset), cases, image, targets);
}

}  // namespace vmae::data
