// `vmae bench --loader`: batches as training takes them, and nothing done with them.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <ostream>

#include "vmae/core/clock.h"
#include "vmae/core/machine.h"
#include "vmae/core/text.h"
#include "vmae/data/loader.h"
#include "vmae/data/patch_dataset.h"
#include "vmae/data/prepared_source.h"
#include "vmae/nnunet/plans.h"
#include "vmae/tools/bench_loader.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

double cpu_s() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Memory that is ours, not pages of mapped files, which the system can drop.
double anonymous_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stod(line.substr(8)) / 1024.0;
  }
  return 0.0;
}

// All cases, again and again until there are `items` images (with the last case whole).
std::vector<int64_t> choose_cases(const io::PreparedDataset& dataset, int64_t items) {
  std::vector<int64_t> all(static_cast<size_t>(dataset.info().num_cases));
  std::iota(all.begin(), all.end(), 0);
  if (items == 0) return all;
  std::vector<int64_t> cases;
  for (int64_t count = 0, i = 0; count < items; ++i) {
    cases.push_back(all[static_cast<size_t>(i) % all.size()]);
    count += std::max<int64_t>(1, dataset.read_case(cases.back()).num_items);
  }
  return cases;
}

data::AugmentOptions augmentation_of(const std::string& task) {
  if (task == "segment") return data::segmentation_augmentation();
  return task == "classify" ? data::classification_augmentation() : data::pretraining_augmentation();
}

struct Timed {
  std::shared_ptr<const data::Dataset> dataset;
  data::LoaderOptions loader;
  data::AugmentOptions augment;
};

Timed prepared_images(const LoaderBenchArguments& arguments) {
  const auto prepared = std::make_shared<const io::PreparedDataset>(arguments.dataset);
  data::ImageOptions image;
  image.image_size = {arguments.image_size, arguments.image_size};
  const data::Targets targets{.mask = arguments.task == "segment" && prepared->info().has_masks};
  std::vector<std::unique_ptr<data::SampleSource>> sources;
  std::vector<data::PreparedChoice> chosen;
  for (const int64_t number : choose_cases(*prepared, arguments.items)) chosen.push_back({number});
  sources.push_back(data::prepared_source(prepared, chosen, image, targets));
  return {std::make_shared<const data::Dataset>(std::move(sources), image, std::make_shared<data::Quarantine>("", 0.0),
                                                targets),
          {.batch_size = arguments.batch},
          augmentation_of(arguments.task)};
}

// Patches of nnU-Net's preprocessed cases, as they train.
Timed patches(const LoaderBenchArguments& arguments) {
  std::vector<data::PatchCase> cases;
  for (const fs::directory_entry& entry : fs::directory_iterator(arguments.dataset)) {
    if (entry.path().extension() != ".case") continue;
    const std::string name = entry.path().stem().string();
    cases.push_back({name, std::make_shared<const nnunet::PreprocessedFile>(entry.path())});
  }
  if (cases.empty())
    throw Error(ExitCode::usage,
                concat("--loader: ", arguments.dataset.string(), " holds no preprocessed case (.case)"),
                "give what nnunet.preprocessed names in a run, or leave out --plan");
  std::sort(cases.begin(), cases.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  const nnunet::Configuration plan = nnunet::read_plans(arguments.plan).flat;
  for (const data::PatchCase& one : cases) {
    if (one.file->num_channels() == std::ssize(plan.normalization)) continue;
    throw Error(ExitCode::usage,
                concat("--plan: ", arguments.plan.string(), " has ", plan.normalization.size(), " channels, but ",
                       one.name, " has ", one.file->num_channels()),
                "give the plan by which the folder was preprocessed, and a folder of that plan alone");
  }
  constexpr int64_t kPatchesPerEpoch = 1000;
  return {data::patch_dataset(cases,
                              {.size = plan.patch_size,
                               .use_mask = plan.use_mask,
                               .is_augmented = true,
                               .has_ignore = false,
                               .batch_size = arguments.batch},
                              {}, std::make_shared<data::Quarantine>("", 0.0)),
          {.batch_size = arguments.batch, .samples_per_epoch = kPatchesPerEpoch, .is_drawn = true},
          {}};
}

}  // namespace

void bench_loader(const LoaderBenchArguments& arguments, std::ostream& out) {
  Timed timed = arguments.plan.empty() ? prepared_images(arguments) : patches(arguments);
  timed.loader.workers = arguments.workers > 0 ? arguments.workers : usable_threads();
  data::Loader loader(timed.dataset, timed.loader, &timed.augment);

  data::Batch batch;
  const auto run = [&](double seconds) {
    int64_t images = 0;
    for (const auto start = Clock::now(); seconds_since(start) < seconds;) {
      loader.next(batch);
      images += static_cast<int64_t>(batch.indices.size());
    }
    return images;
  };
  run(std::min(1.0, arguments.seconds));  // warm-up
  const auto start = Clock::now();
  const double cpu_before_s = cpu_s();
  const int64_t images = run(arguments.seconds);
  const double wall_s = seconds_since(start), used_s = cpu_s() - cpu_before_s;
  const nlohmann::ordered_json result = {{"images_per_s", static_cast<double>(images) / wall_s},
                                         {"images_per_cpu_s", static_cast<double>(images) / used_s},
                                         {"peak_rss_mb", static_cast<double>(peak_resident_bytes()) / 1048576.0},
                                         {"anonymous_mb", anonymous_mb()},
                                         {"images", images},
                                         {"items", timed.dataset->size()},
                                         {"task", arguments.plan.empty() ? arguments.task : "nnunet"},
                                         {"has_masks", timed.dataset->targets().mask},
                                         {"workers", timed.loader.workers},
                                         {"batch", arguments.batch},
                                         {"wall_s", wall_s},
                                         {"cpu_s", used_s}};
  out << result.dump() << "\n";
}

}  // namespace vmae::run
