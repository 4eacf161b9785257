#include "vmae/data/patch_dataset.h"

#include <algorithm>
#include <utility>

#include "vmae/core/crc32c.h"
#include "vmae/core/random.h"
#include "vmae/core/text.h"
#include "vmae/nnunet/augment.h"
#include "vmae/nnunet/patch_sampler.h"

namespace vmae::data {

namespace {

// The slices of preprocessed cases by their names. They are never read one by one: PatchDataset draws patches.
class PatchSource : public SampleSource {
 public:
  explicit PatchSource(std::vector<PatchCase> cases) : cases_(std::move(cases)) {
    for (const PatchCase& one : cases_) firsts_.push_back(firsts_.back() + one.file->shape()[0]);
  }

  int64_t size() const override { return firsts_.back(); }
  std::string id(int64_t index) const override {
    const int64_t number = case_number(index);
    return concat(case_name(index), "#", index - firsts_[static_cast<size_t>(number)]);
  }
  std::string file_name(int64_t index) const override { return case_name(index); }
  int64_t case_number(int64_t index) const override {
    return std::upper_bound(firsts_.begin(), firsts_.end(), index) - firsts_.begin() - 1;
  }
  std::string case_name(int64_t index) const override { return cases_[static_cast<size_t>(case_number(index))].name; }
  int64_t num_files() const override { return std::ssize(cases_); }
  Slice read(int64_t /*index*/, bool /*with_mask*/, SliceBuffer& /*buffer*/) const override {
    throw Error(ExitCode::internal, "slices of preprocessed cases are not read one by one");
  }
  const float* labels(int64_t /*index*/) const override { return nullptr; }
  uint32_t checksum(uint32_t crc) const override {
    for (const PatchCase& one : cases_) {
      const std::string text = one.name + one.file->key();
      crc = crc32c(text.c_str(), text.size() + 1, crc);
    }
    return crc;
  }

  int64_t index_of(size_t number, int64_t slice) const { return firsts_[number] + slice; }

 private:
  std::vector<PatchCase> cases_;
  std::vector<int64_t> firsts_{0};
};

std::vector<std::unique_ptr<SampleSource>> only(std::unique_ptr<SampleSource> source) {
  std::vector<std::unique_ptr<SampleSource>> sources;
  sources.push_back(std::move(source));
  return sources;
}

class PatchDataset : public Dataset {
 public:
  PatchDataset(const std::vector<PatchCase>& cases, PatchOptions options, const ImageOptions& image,
               std::shared_ptr<Quarantine> quarantine)
      : Dataset(only(std::make_unique<PatchSource>(cases)), image, std::move(quarantine), {.mask = true}),
        slices_(cases),
        options_(std::move(options)),
        augment_(nnunet::augment_plan(options_.size)) {
    for (const PatchCase& one : cases) files_.push_back(one.file);
  }

  Loaded load_readable_into(int64_t place, uint64_t seed, int64_t epoch, const AugmentOptions* /*augment*/,
                            const SampleBuffers& buffers, int64_t /*occurrence*/) const override {
    const std::array<int64_t, 2>& size = options_.is_augmented ? augment_.initial : augment_.patch;
    const uint64_t key = derive_seed(seed, Stream::augment, epoch, place);
    Random random(key);
    const bool is_forced = nnunet::wants_foreground(place % options_.batch_size, options_.batch_size);
    const nnunet::PatchDraw draw =
        nnunet::draw_patch(files_, augment_.patch, size, is_forced, options_.has_ignore, random);
    const nnunet::PreprocessedFile& file = *files_[draw.number];
    const auto pixels = static_cast<size_t>(size[0] * size[1]);
    thread_local std::vector<float> image;
    thread_local std::vector<int16_t> labels;
    image.resize(pixels * static_cast<size_t>(file.num_channels()));
    labels.resize(pixels);
    nnunet::cut_patch(file, draw, size, image.data(), labels.data());
    if (options_.is_augmented)
      nnunet::augment(augment_, nnunet::draw_augmentation(augment_, file.num_channels(), random), image.data(),
                      labels.data(), file.num_channels(), options_.use_mask, buffers.image, buffers.mask);
    else
      nnunet::central_patch(size, augment_.patch, image.data(), labels.data(), file.num_channels(), buffers.image,
                            buffers.mask);
    return {slices_.index_of(draw.number, draw.slice), key};
  }

 private:
  PatchSource slices_;  // a copy: what the base class has is its own
  PatchOptions options_;
  nnunet::AugmentPlan augment_;
  std::vector<std::shared_ptr<const nnunet::PreprocessedFile>> files_;
};

}  // namespace

std::shared_ptr<Dataset> patch_dataset(const std::vector<PatchCase>& cases, PatchOptions options, ImageOptions image,
                                       std::shared_ptr<Quarantine> quarantine) {
  image.image_size = {options.size[0], options.size[1]};
  image.in_channels = cases.front().file->num_channels();
  return std::make_shared<PatchDataset>(cases, std::move(options), image, std::move(quarantine));
}

}  // namespace vmae::data
