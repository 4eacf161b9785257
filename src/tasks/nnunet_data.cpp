#include "nnunet.h"

#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp

#include <algorithm>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "vmae/cases/time_points.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/counting.h"
#include "vmae/core/crc32c.h"
#include "vmae/core/log.h"
#include "vmae/core/parallel.h"
#include "vmae/data/modality.h"
#include "vmae/data/patch_dataset.h"
#include "vmae/image/file_name.h"
#include "vmae/nnunet/planner.h"
#include "vmae/nnunet/preprocess.h"
#include "vmae/nnunet/preprocessed_file.h"
#include "vmae/predict/find_weights.h"
#include "vmae/predict/model_file.h"
#include "vmae/runs/case_voxels.h"
#include "vmae/runs/content.h"
#include "vmae/runs/nnunet_network.h"
#include "vmae/runs/normalization.h"
#include "vmae/runs/plan_data.h"
#include "vmae/runs/split.h"
#include "vmae/sources/case_names.h"
#include "vmae/sources/dataset_json.h"
#include "vmae/weights/weights.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

nnunet::Labels labels_of_run(const SegmentConfig& config, const Datasets& datasets, const Classes& classes) {
  if (datasets.splits.regions.empty()) return nnunet::labels_of_classes(classes.names, classes.ignore >= 0);
  const fs::path file = fs::path(config.data.train.front()) / "dataset.json";
  if (config.data.train.size() != 1 || !fs::exists(file))
    throw Error(ExitCode::usage,
                concat("the data name regions, which nnU-Net learns in the order that dataset.json gives, but ",
                       join(config.data.train, ", "), " has no such file"),
                "give nnU-Net's own folder as data.train");
  if (!config.data.label_values.empty() || !config.data.classes.empty())
    throw Error(ExitCode::usage,
                concat("data.classes and data.label_values can't be set: ", file.string(),
                       " says what its regions are made of"),
                "leave them out");
  return nnunet::labels_of_json(read_file(file), file);
}

struct CasesToPlan {
  std::map<std::string, io::SourceFile> files;  // by name
  std::string text;                             // which they are
};

// The folds of a file have one plan, as nnU-Net's have, so that they can be exported as one model.
CasesToPlan cases_to_plan(const DataOptions& data, const Datasets& datasets) {
  std::map<std::string, io::SourceFile> files;
  const auto add = [&](const std::vector<io::SourceFile>& part) {
    for (const io::SourceFile& file : part) files.emplace(file.name, file);
  };
  add(datasets.split.train);
  if (data.val.empty()) add(datasets.split.val);  // else of another dataset
  if (data.splits.file.empty())
    return {files, concat("those in data.train that train", data.val.empty() ? " or validate" : "")};
  add(datasets.split.test);
  add(datasets.split.unused);
  std::vector<io::SourceFile> all;
  for (const auto& [name, file] : files) all.push_back(file);
  const std::set<std::string> names = names_in_any_fold(all, data.splits);
  std::erase_if(files, [&](const auto& item) { return !names.contains(item.first); });
  const auto num_of_test = std::count_if(datasets.split.test.begin(), datasets.split.test.end(),
                                         [&](const io::SourceFile& file) { return names.contains(file.name); });
  return {files, concat("those that train or validate in any fold of data.splits",
                        num_of_test > 0 ? concat("; ", num_of_test, " of them are test cases of this fold") : "")};
}

// As the data call them, where they do.
std::vector<std::string> given_channel_names(const SegmentConfig& config, const Datasets& datasets) {
  const std::string& layout = datasets.splits.layouts.front();
  if (!datasets.channel_names.empty() || (layout != "nnunet" && layout != "decathlon")) return datasets.channel_names;
  return io::read_dataset_json(fs::path(config.data.train.front()) / "dataset.json").channels;
}

// The plan alone decides: said where a channel's name or modality makes one expect something else.
void warn_of_plan(const std::vector<std::string>& schemes, const std::vector<std::string>& names,
                  const std::vector<io::SourceFile>& train, const std::string& data) {
  std::vector<ChannelFacts> channels;
  for (size_t i = 0; i < schemes.size(); ++i) {
    ChannelFacts& channel = channels.emplace_back(ChannelFacts{names[i], {}});
    for (const io::SourceFile& file : train) {
      const io::SourceFile& one = i > 0 && !file.channels.empty() ? file.channels.at(i - 1) : file;  // or a colour
      if (!one.modality.empty() || data::says_nothing(one)) ++channel.modalities[one.modality];
    }
  }
  const UnexpectedNormalization found = unexpected_normalization(schemes, channels);
  if (!found.text.empty())
    log::warning(concat(found.text, ", which is followed; another is made by `vmae plan --input ", shell_word(data),
                        " ", shell_word(concat("plan.channel_names=[", join(found.names, ","), "]")),
                        "` and given by nnunet.plan"));
}

// For dataset.json, where they say how nnU-Net would normalise.
std::vector<std::string> names_of_channels(const nnunet::Plans& plans, const SegmentConfig& config,
                                           const Datasets& datasets) {
  const std::vector<std::string>& schemes = plans.flat.normalization;
  std::vector<std::string> names = given_channel_names(config, datasets);
  names.resize(schemes.size());
  const std::vector<io::SourceFile>& train = datasets.split.train;
  const bool has_one_modality = std::all_of(
      train.begin(), train.end(), [&](const io::SourceFile& file) { return file.modality == train.front().modality; });
  warn_of_plan(schemes, names, train, config.data.train.size() == 1 ? config.data.train.front() : "DATA");
  if (names == std::vector<std::string>(3)) names = {"R", "G", "B"};  // of one picture
  if (names == std::vector<std::string>(1) && has_one_modality) names = {train.front().modality};
  for (size_t i = 0; i < names.size(); ++i)
    names[i] = nnunet::channel_name_for(schemes[i], names[i].empty() ? concat("channel ", i) : names[i]);
  return names;
}

std::string dataset_json_of(const NnUnetPlan& plan, const SegmentConfig& config, const Datasets& datasets) {
  const io::SourceFile& first = datasets.split.train.front();
  const std::string of_others = plan.plans.reader_writer == "NaturalImage2DIO" ? ".png" : ".nii.gz",
                    ending = first.prepared_case < 0 && first.series.empty() ? io::ending_of(first.path) : of_others;
  return nnunet::dataset_json_text(plan.labels, names_of_channels(plan.plans, config, datasets),
                                   std::ssize(datasets.split.train) + std::ssize(datasets.split.val), ending,
                                   plan.plans.reader_writer);
}

// Where preprocessed cases lie; of a dry run a folder that goes with it.
class PreprocessedFolder {
 public:
  // way: all that decides what becomes of a case.
  PreprocessedFolder(const SegmentConfig& config, const Session& session, const std::string& way,
                     const std::vector<std::string>& identifying)
      : path_(config.nnunet.preprocessed), way_(crc32c(way.data(), way.size())), identifying_(identifying) {
    if (path_.empty()) path_ = fs::path(config.run.dir) / "preprocessed";
    if (session.arguments.dry_run && config.nnunet.preprocessed.empty()) {
      path_ = session.world.from_first([] {
        std::string name = (fs::temp_directory_path() / "vmae-preprocessed-XXXXXX").string();
        return mkdtemp(name.data()) == nullptr ? std::string() : name;
      });
      is_temporary_ = session.world.is_first();
    }
    std::error_code problem;
    fs::create_directories(path_, problem);
    if (problem)
      throw Error(ExitCode::usage, concat(path_.string(), " can't be created: ", problem.message()),
                  "give a folder that all ranks may write to: nnunet.preprocessed");
  }
  // Files that are mapped stay readable.
  ~PreprocessedFolder() {
    std::error_code ignored;
    if (is_temporary_) fs::remove_all(path_, ignored);
  }
  PreprocessedFolder(const PreprocessedFolder&) = delete;
  PreprocessedFolder& operator=(const PreprocessedFolder&) = delete;
  // One for each way of preprocessing, so that runs of several may share the folder.
  fs::path file_of(const std::string& name) const {
    constexpr size_t kLongest = 150;
    std::string readable = io::safe_name(name, identifying_);
    const uint32_t number = crc32c(readable.data(), readable.size());
    std::replace(readable.begin(), readable.end(), '/', '_');
    return path_ / concat(readable.substr(0, kLongest), "-", number, "-", way_, ".case");
  }

 private:
  fs::path path_;
  uint32_t way_;
  const std::vector<std::string>& identifying_;
  bool is_temporary_ = false;
};

// The plan, what masks mean, and which voxels are kept of each class or region.
std::string way_of(const NnUnetPlan& plan, const Classes& classes) {
  std::string text = plan.plans_json + nnunet::dataset_json_text(plan.labels, {}, 0, "", "");
  for (const uint8_t value : classes.card.meaning->class_of) text += static_cast<char>(value);
  return text;
}

// Cases of one source to files.
class Preprocessor {
 public:
  Preprocessor(const NnUnetPlan& plan, const Classes& classes, const PreprocessedFolder& folder,
               const std::vector<io::SourceFile>& cases, const Datasets& datasets)
      : plan_(plan),
        classes_(classes),
        folder_(folder),
        identifying_(datasets.splits.identifying),
        reader_(cases, datasets.splits.mask_names()) {}

  void preprocess(const io::SourceFile& file) const {
    const std::string name = io::without(file.name, identifying_), key = key_of(file, name);
    const fs::path path = folder_.file_of(file.name);
    if (is_made(path, key)) return;
    nnunet::CaseVoxels voxels = reader_.voxels(file, name, /*with_labels=*/true);
    classes_.card.meaning->apply(voxels.labels.data(), voxels.labels.size());
    const nnunet::PreprocessedCase one = nnunet::preprocess(voxels, plan_.plans);
    nnunet::write_preprocessed(path, one, nnunet::sample_locations(one, plan_.labels), key);
  }

 private:
  static bool is_made(const fs::path& path, const std::string& key) {
    if (!fs::exists(path)) return false;
    try {
      return nnunet::PreprocessedFile(path).key() == key;
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;  // damaged: made anew
      return false;
    }
  }

  std::string key_of(const io::SourceFile& file, const std::string& name) const {
    std::string text = way_of(plan_, classes_) + content_of({file}, {name});
    if (!file.mask.empty()) text += content_of({io::SourceFile{.path = file.mask}}, {name});
    return concat(name, " ", text.size(), " ", crc32c(text.data(), text.size()));
  }

  const NnUnetPlan& plan_;
  const Classes& classes_;
  const PreprocessedFolder& folder_;
  const std::vector<std::string>& identifying_;
  CaseReader reader_;
};

// All ranks take their share of the files; -> which of them could not be read on any rank, and why.
std::map<std::string, std::string> preprocess_all(const SegmentConfig& config, const Session& session,
                                                  const NnUnetPlan& plan, const Classes& classes,
                                                  const PreprocessedFolder& folder, const Datasets& datasets) {
  nlohmann::json failed = nlohmann::json::object();
  std::mutex mutex;
  for (const auto* part : {&datasets.splits.train, &datasets.splits.val}) {
    for (const std::vector<io::SourceFile>& listed : *part) {
      const std::vector<io::SourceFile> cases = io::with_masks_of_time_points(listed);
      const Preprocessor preprocessor(plan, classes, folder, cases, datasets);
      const int64_t rank = session.world.rank(), num_ranks = session.world.size(), count = std::ssize(cases);
      Counting counting("cases to preprocess", (count - rank + num_ranks - 1) / num_ranks);  // of this rank
      constexpr int64_t kTogether = 8;  // of each rank, so that none waits for another longer than a few cases take
      for (int64_t first = 0; first < count; first += num_ranks * kTogether) {
        const int64_t own =
            std::min(kTogether, std::max<int64_t>(0, (count - first - rank + num_ranks - 1) / num_ranks));
        parallel_for(own, static_cast<int>(config.data.workers), [&](int64_t i) {
          const io::SourceFile& file = cases[static_cast<size_t>(first + i * num_ranks + rank)];
          try {
            preprocessor.preprocess(file);
          } catch (const Error& error) {
            if (error.code() != ExitCode::data) throw;  // a case that can't be read goes to the quarantine
            const std::lock_guard lock(mutex);
            failed[file.name] = error.what();
          }
          counting.add();
        });
        session.world.any(false);
      }
    }
  }
  std::map<std::string, std::string> all;
  for (const std::string& text : session.world.gather(failed.dump())) {
    const nlohmann::json of_rank = nlohmann::json::parse(text);
    for (const auto& [name, reason] : of_rank.items()) all.emplace(name, reason.get<std::string>());
  }
  return all;
}

std::vector<data::PatchCase> open_cases(const std::vector<std::vector<io::SourceFile>>& lists,
                                        const std::map<std::string, std::string>& failed,
                                        const PreprocessedFolder& folder) {
  std::vector<data::PatchCase> cases;
  for (const std::vector<io::SourceFile>& files : lists) {
    for (const io::SourceFile& file : io::with_masks_of_time_points(files)) {
      if (failed.contains(file.name)) continue;
      cases.push_back({file.name, std::make_shared<const nnunet::PreprocessedFile>(folder.file_of(file.name))});
    }
  }
  return cases;
}

nnunet::Plans given_plan(const std::string& file) {
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored))
    throw Error(ExitCode::data, concat("nnunet.plan = ", file, " is no file"),
                "give nnUNetPlans.json, which nnU-Net and `vmae plan` write");
  return nnunet::read_plans(file);
}

// As nnU-Net's own fine-tuning has the plan of the weights that it begins with; none: they have none.
std::optional<nnunet::Plans> plan_of_weights(const std::string& init) {
  if (init.empty()) return std::nullopt;
  const fs::path path = find_weights(init);
  const weights::StoredWeights file = weights::read_stored(path);
  const auto found = file.metadata.find("nnunet_plans");
  if (found == file.metadata.end()) return std::nullopt;
  log::info(concat("nnU-Net's plan is that of model.init = ", init, "; nnunet.plan would give another"));
  return nnunet::plans_of_json(found->second, path);
}

// The plan of a run that goes on is its own; another one is not taken in silence.
std::string plan_to_go_on_with(const fs::path& own, const std::string& given) {
  std::error_code ignored;
  std::string text = read_file(own);
  if (given.empty() || !fs::exists(given, ignored)) return text;
  if (nnunet::plans_json(nnunet::read_plans(given)) != text)
    throw Error(ExitCode::usage, concat("nnunet.plan = ", given, " is not the plan that the run has: ", own.string()),
                "leave nnunet.plan as it was, or begin a new run with it");
  return text;
}

// `whose`: where the plan comes from. Of a case that can be read; the wrong plan is no fault of the images.
void check_plan(const nnunet::Plans& plans, const std::string& whose, bool is_of_weights, const Datasets& datasets) {
  const std::vector<io::SourceFile> first = io::with_masks_of_time_points({datasets.split.train.front()});
  nnunet::CaseVoxels one;
  try {
    one = CaseReader(first, datasets.splits.mask_names())
              .voxels(first.front(), first.front().name, /*with_labels=*/false);
  } catch (const Error& error) {
    if (error.code() != ExitCode::data) throw;  // that case goes to the quarantine later
    return;
  }
  if (one.channels.size() != plans.flat.normalization.size())
    throw Error(ExitCode::usage,
                concat(whose, " has ", count_text(std::ssize(plans.flat.normalization), "channel"), ", but a case has ",
                       one.channels.size()),
                is_of_weights ? "begin without model.init, or with weights of such cases"
                              : "give the plan of these data: nnunet.plan");
  constexpr double kFar = 2;
  for (size_t axis = 0; axis < 2; ++axis) {
    const double planned = plans.flat.spacing[axis],
                 own = one.spacing[static_cast<size_t>(plans.transpose_forward[axis + 1])];
    if (own <= kFar * planned && planned <= kFar * own) continue;
    log::warning(concat(whose, " has pixels of ", planned, " mm, but those of a case are ", own,
                        " mm wide: is it the plan of these data?"));
    return;
  }
}

// What a reader of the log wants to know of any plan.
std::string text_of_plan(const nnunet::Plans& plans) {
  const nnunet::Configuration& flat = plans.flat;
  return concat("nnU-Net's plan ", plans.plans_name, " of ", plans.dataset_name, ": patches of ", flat.patch_size[0],
                " x ", flat.patch_size[1], " pixels of ", flat.spacing[0], " x ", flat.spacing[1],
                " mm, normalised by ", join(flat.normalization, ", "));
}

}  // namespace

void check_nnunet(const SegmentConfig& config, const Session& session) {
  if (!session.world.is_first()) return;  // which alone reads plans
  if (session.resumes()) {
    const fs::path own = fs::path(session.options.dir) / kPlansName;
    if (!fs::exists(own))
      throw Error(ExitCode::checkpoint, concat(session.options.dir, " has lost its ", kPlansName),
                  "bring that file back, or give another run.dir");
    return;
  }
  std::optional<nnunet::Plans> given;
  if (!config.nnunet.plan.empty()) given = given_plan(config.nnunet.plan);
  if (config.model.init.empty()) return;
  const fs::path path = find_weights(config.model.init);
  const weights::TensorFile file = weights::read_shapes(path);
  require_model(file, path, config.model.name,
                "give a run of model.name=nnunet, or nnU-Net's own checkpoint_final.pth");
  const auto theirs = file.metadata.find("nnunet_plans");
  if (!given || theirs == file.metadata.end()) return;
  const nnunet::Configuration of_weights = nnunet::plans_of_json(theirs->second, path).flat;
  if (of_weights.normalization.size() != given->flat.normalization.size())
    throw Error(ExitCode::checkpoint,
                concat("nnunet.plan = ", config.nnunet.plan, " is of cases with ",
                       count_text(std::ssize(given->flat.normalization), "channel"), ", the weights of model.init = ",
                       config.model.init, " are for ", of_weights.normalization.size()),
                "begin without model.init, or with weights of such cases");
  if (of_weights.network != given->flat.network)
    throw Error(ExitCode::checkpoint,
                concat("nnunet.plan = ", config.nnunet.plan,
                       " has another network than the plan of model.init = ", config.model.init),
                "leave nnunet.plan out: the plan of model.init is taken");
}

NnUnetPlan nnunet_plan(const SegmentConfig& config, const Session& session, const Datasets& datasets,
                       const Classes& classes) {
  const auto made = [&]() -> std::string {
    if (session.resumes()) return plan_to_go_on_with(session.folder->path() / kPlansName, config.nnunet.plan);
    const bool is_given = !config.nnunet.plan.empty();
    if (const auto plans =
            is_given ? std::optional(given_plan(config.nnunet.plan)) : plan_of_weights(config.model.init)) {
      check_plan(*plans,
                 is_given ? "nnunet.plan = " + config.nnunet.plan : "the plan of model.init = " + config.model.init,
                 !is_given, datasets);
      return nnunet::plans_json(*plans);
    }
    const fs::path first = session.arguments.first_fold / kPlansName;
    if (!session.arguments.first_fold.empty() && fs::exists(first)) {
      log::info("nnU-Net's plan is that of the first fold: " + first.string());
      return read_file(first);
    }
    if (config.data.train.size() != 1)
      throw Error(ExitCode::usage, concat("nnU-Net plans one dataset, but data.train has ", config.data.train.size()),
                  "give a plan that is there: nnunet.plan=nnUNetPlans.json (vmae plan makes one)");
    std::vector<std::string> left_out;
    const CasesToPlan cases = cases_to_plan(config.data, datasets);
    PlanOptions options;
    options.workers = config.data.workers;
    const PlanData data =
        read_plan_data(config.data.train.front(), options, {&*classes.card.meaning, &left_out, &cases.files});
    for (const std::string& problem : left_out) log::warning("the plan is made without a case: " + problem);
    log::info(concat("nnU-Net's plan is made of ", count_text(data.dataset.num_training, "case"), ", ", cases.text));
    return nnunet::plans_json(nnunet::plan(data.dataset, data.fingerprint, {}));
  };
  NnUnetPlan plan;
  plan.plans_json = session.world.from_first(made);
  plan.plans = nnunet::plans_of_json(plan.plans_json, kPlansName);
  log::info(text_of_plan(plan.plans));
  plan.labels = labels_of_run(config, datasets, classes);
  plan.dataset_json = dataset_json_of(plan, config, datasets);
  return plan;
}

void apply_plan(const NnUnetPlan& plan, SegmentConfig& config) {
  set_network(plan.plans, plan.labels.num_heads(), config.model.net);
  data::ImageOptions& image = config.data.image;
  image.image_size = config.model.net.swin.image_size;
  image.in_channels = config.model.net.swin.in_channels;
  image.mean = {0.0};
  image.std = {1.0};
  if (config.train.batch_size == 0) config.train.batch_size = plan.plans.flat.batch_size;
}

void draw_patches(const SegmentConfig& config, const Session& session, const NnUnetPlan& plan, const Classes& classes,
                  Datasets& datasets) {
  const PreprocessedFolder folder(config, session, way_of(plan, classes), datasets.splits.identifying);
  const auto failed = preprocess_all(config, session, plan, classes, folder, datasets);
  const auto quarantine = datasets.train->shared_bad_files();
  for (const auto& [name, reason] : failed) quarantine->add(name, reason);
  data::PatchOptions options{.size = plan.plans.flat.patch_size,
                             .use_mask = plan.plans.flat.use_mask,
                             .has_ignore = plan.labels.has_ignore,
                             .batch_size = config.train.batch_size};
  const std::vector<data::PatchCase> val = open_cases(datasets.splits.val, failed, folder);
  datasets.val = val.empty() ? nullptr : data::patch_dataset(val, options, config.data.image, quarantine);
  options.is_augmented = true;
  const std::vector<data::PatchCase> train = open_cases(datasets.splits.train, failed, folder);
  if (train.empty())
    throw Error(ExitCode::data, "no training case could be preprocessed", "see the warnings above for the reasons");
  datasets.train = data::patch_dataset(train, options, config.data.image, quarantine);
  log::info(concat("training: ", count_text(std::ssize(train), "case"),
                   "; validation: ", count_text(std::ssize(val), "case"), "; slices of volumes lie across ",
                   nnunet::slice_axis_of(plan.plans), ", as the plan has it"));
  session.world.any(false);  // all have mapped their files before a dry run's folder goes
}

}  // namespace vmae::run
