// `vmae bench --loader`: batches as training takes them, from a prepared dataset, and nothing done with them.
#include <sys/resource.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <ostream>

#include "vmae/core/clock.h"
#include "vmae/core/machine.h"
#include "vmae/core/text.h"
#include "vmae/data/loader.h"
#include "vmae/data/prepared_source.h"
#include "vmae/tools/bench_loader.h"

namespace vmae::run {

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

}  // namespace

void bench_loader(const LoaderBenchArguments& arguments, std::ostream& out) {
  const auto prepared = std::make_shared<const io::PreparedDataset>(arguments.dataset);
  data::ImageOptions image;
  image.image_size = {arguments.image_size, arguments.image_size};
  const data::Targets targets{.mask = arguments.task == "segment" && prepared->info().has_masks};
  std::vector<std::unique_ptr<data::SampleSource>> sources;
  std::vector<data::PreparedChoice> chosen;
  for (const int64_t number : choose_cases(*prepared, arguments.items)) chosen.push_back({number});
  sources.push_back(data::prepared_source(prepared, chosen, image, targets));
  const auto dataset = std::make_shared<const data::Dataset>(std::move(sources), image,
                                                             std::make_shared<data::Quarantine>("", 0.0), targets);
  const int64_t workers = arguments.workers > 0 ? arguments.workers : usable_threads();
  const data::AugmentOptions augment = augmentation_of(arguments.task);
  data::Loader loader(dataset, {.batch_size = arguments.batch, .workers = workers}, &augment);

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
                                         {"items", dataset->size()},
                                         {"task", arguments.task},
                                         {"has_masks", targets.mask},
                                         {"workers", workers},
                                         {"batch", arguments.batch},
                                         {"wall_s", wall_s},
                                         {"cpu_s", used_s}};
  out << result.dump() << "\n";
}

}  // namespace vmae::run
