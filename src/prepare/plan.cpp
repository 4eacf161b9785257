#include "vmae/prepare/plan.h"

#include <sys/stat.h>

#include <algorithm>

#include "structures.h"
#include "vmae/cases/channels.h"
#include "vmae/cases/mask_numbering.h"
#include "vmae/cases/read_image.h"
#include "vmae/cases/time_points.h"
#include "vmae/core/counting.h"
#include "vmae/core/error.h"
#include "vmae/core/hash.h"
#include "vmae/core/log.h"
#include "vmae/core/machine.h"
#include "vmae/core/parallel.h"
#include "vmae/data/modality.h"
#include "vmae/image/picture.h"
#include "vmae/runs/modality.h"

namespace vmae::run {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxCasesPerShard = 1'000'000;

uint64_t size_of_files(const io::SourceFile& file) {
  uint64_t bytes = 0;
  for (const fs::path& path : files_of(file)) {
    std::error_code absent;
    const auto size = fs::file_size(path, absent);
    if (!absent) bytes += size;
  }
  return bytes;
}

PlannedCase plan_case(const io::SourceFile& file, const Pseudonyms& pseudonyms) {
  PlannedCase planned{file, std::nullopt, {}, "", 0};
  try {
    planned.bytes = size_of_files(file);
    planned.header = io::read_image_header(file);
    planned.structures = io::structure_names(file);
  } catch (const std::exception& error) {  // found again when its turn comes, and quarantined
    planned.problem = pseudonyms.redact(error.what(), file);
  }
  return planned;
}

void add_channels(const PlannedCase& whole, std::vector<PlannedCase>& to) {
  const size_t first = to.size();
  for (int64_t channel = 0; channel < io::num_channels(whole.file); ++channel) {
    PlannedCase& one = to.emplace_back(whole);
    one.file = io::channel_of(whole.file, channel);
    one.bytes = size_of_files(one.file);
    if (channel == 0) continue;
    one.channel_of = static_cast<int64_t>(first);
    to[first].channels.push_back(static_cast<int64_t>(to.size()) - 1);
  }
}

void add_time_points(const PlannedCase& planned, std::vector<PlannedCase>& to) {
  for (io::SourceFile& file : io::time_points_of(planned.file, planned.header ? planned.header->num_time_points : 1))
    to.emplace_back(planned).file = std::move(file);
}

// In the order of the files.
std::vector<PlannedCase> read_headers(const std::vector<io::SourceFile>& files, const Pseudonyms& pseudonyms,
                                      int64_t workers) {
  std::vector<PlannedCase> cases(files.size());
  Counting counting("headers of images", std::ssize(files));
  parallel_for(std::ssize(files), static_cast<int>(workers), [&](int64_t i) {
    cases[static_cast<size_t>(i)] = plan_case(files[static_cast<size_t>(i)], pseudonyms);
    counting.add();
  });
  return cases;
}

// Time points, and channels, are cases of their own.
std::vector<PlannedCase> plan_cases(const std::vector<io::SourceFile>& files, const Pseudonyms& pseudonyms,
                                    int64_t workers) {
  std::vector<PlannedCase> cases;
  for (const PlannedCase& planned : read_headers(files, pseudonyms, workers)) {
    if (planned.file.channels.empty()) {
      add_time_points(planned, cases);
    } else {
      add_channels(planned, cases);
    }
  }
  return cases;
}

std::vector<PlannedShard> divide(const std::vector<PlannedCase>& cases, uint64_t shard_bytes) {
  std::vector<PlannedShard> shards;
  uint64_t bytes = 0;
  for (size_t i = 0; i < cases.size(); ++i) {
    if (shards.empty() || bytes >= shard_bytes || shards.back().num_cases >= kMaxCasesPerShard) {
      shards.push_back({i, 0});
      bytes = 0;
    }
    ++shards.back().num_cases;
    bytes += cases[i].bytes;
  }
  return shards;
}

std::string intensity_text(const std::vector<PlannedCase>& cases, const PrepareOptions& options) {
  std::vector<io::SourceFile> files;
  for (const PlannedCase& planned : cases) files.push_back(planned.file);
  const bool is_native = options.intensity == "native";
  data::ImageOptions image;
  image.intensity = is_native ? "auto" : options.intensity;
  image.window = options.window;
  image.percentiles = options.percentiles;
  return concat(is_native ? "intensities are kept; data.intensity = auto will take " : "intensities: ",
                data::intensity_text(files, image, "case"));
}

// Of series, and the pages of a TIFF, it is z anyway.
io::CommonAxis common_axis(const std::vector<PlannedCase>& cases) {
  std::vector<io::VolumeHeader> volumes;
  for (const PlannedCase& planned : cases) {
    if (planned.header && planned.file.series.empty() && !io::is_picture(planned.file.path))
      volumes.push_back(*planned.header);
  }
  return io::common_slice_axis(volumes);
}

// Sets plan.mask_names, and adds to the source's remarks what is odd about them.
void number_masks(const PrepareOptions& options, const Pseudonyms& pseudonyms, io::Source& source, Plan& plan) {
  const std::vector<NamedTexts> classes = classes_of_structures(options.structures);
  plan.mask_names = number_structures(source, classes, plan.cases);
  check_redacted(plan.mask_names, pseudonyms);
  for (const std::string& remark : remarks_on_structures(classes, plan.cases)) source.remarks.push_back({"", remark});
  std::erase_if(source.remarks,
                [&](const io::SourceRemark& remark) { return is_within_a_class(remark.text, classes); });
}

std::vector<io::SourceRemark> redacted(const std::vector<io::SourceRemark>& remarks, const Pseudonyms& pseudonyms) {
  std::vector<io::SourceRemark> result;
  for (const io::SourceRemark& remark : remarks) result.push_back({remark.name, pseudonyms.redact(remark.text)});
  return result;
}

// Size and time of the last change: what tells that a file is another one than before.
std::string state_of(const fs::path& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return " -";
  return concat(' ', status.st_size, ' ', status.st_mtim.tv_sec, '.', status.st_mtim.tv_nsec);
}

// Of a case what makes it another one: names, files, labels.
std::string text_of(const PlannedCase& planned) {
  const io::SourceFile& file = planned.file;
  std::string text = concat(file.name, '\n', file.patient, '\n', file.split, ' ', file.fold, ' ', file.modality, ' ',
                            file.mask.string(), '\n');
  for (const fs::path& path : files_of(file)) text += state_of(path);
  if (!file.mask.empty()) {
    for (const fs::path& path : io::files_read_with(file.mask)) text += state_of(path);
  }
  for (const float label : file.labels) text += concat(' ', label);
  for (const int64_t channel : planned.channels) text += concat(" channel ", channel);
  return text;
}

std::string fingerprint_of(const Plan& plan, const PrepareOptions& options) {
  Sha256 fingerprint;
  const auto add = [&](const std::string& text) { fingerprint.add(text + '\n'); };
  for (const std::string& option : content_options(options)) add(option);
  add(concat("format 1, layout ", plan.layout, plan.is_multi_label ? ", findings" : ""));
  for (const auto* names : {&plan.label_names, &plan.mask_names}) add(concat(names->size(), ' ', join(*names, "\n")));
  if (plan.ignore_label >= 0) add(concat("ignore ", plan.ignore_label));
  if (!plan.channel_names.empty()) add("channels " + join(plan.channel_names, "\n"));
  for (const io::LabelRegion& region : plan.regions) {
    add("region " + region.name);
    for (const int64_t value : region.values) add(std::to_string(value));
  }
  for (const PlannedCase& planned : plan.cases) add(hex(hmac_sha256("plan", text_of(planned))));
  return hex(fingerprint.finish());
}

}  // namespace

std::vector<fs::path> files_of(const io::SourceFile& file) {
  return file.series.empty() ? io::files_read_with(file.path) : file.series;
}

std::string PlannedShard::file() const {
  const std::string number = std::to_string(first_case);
  return "shard-" + std::string(number.size() < 8 ? 8 - number.size() : 0, '0') + number + ".mdb";
}

std::vector<std::string> content_options(const PrepareOptions& options) {
  PrepareConfig config{options}, standard;
  Options all;
  describe(all, config);
  std::vector<std::string> texts;
  for (const Option& option : all.all()) {
    if (option.key != "prepare.workers" && option.key != "prepare.salt_file")
      texts.push_back(option.key + "=" + option.get());
  }
  return texts;
}

io::Source source_to_prepare(const fs::path& input, const std::string& layout,
                             const std::vector<std::string>& findings) {
  io::Source source = io::find_source(input, layout, findings);
  if (source.layout == "prepared")
    throw Error(ExitCode::usage, concat(input.string(), " is a prepared dataset already"),
                "give what it was made from");
  // such names are written, so nobody's name may be among them
  if (source.layout == "class_folders" && layout == "auto") {
    source = io::find_source(input, "files");
    log::warning(
        "pictures lie in a folder per class, it seems, but the dataset gets no labels: names of folders may be those "
        "of patients, and are written only if asked for. Where they are classes, prepare.layout=class_folders keeps "
        "them as labels");
  }
  return source;
}

Plan make_plan(const fs::path& input, const PrepareOptions& options, Pseudonyms& pseudonyms) {
  io::Source source = source_to_prepare(input, options.layout, options.findings);
  pseudonyms.know(source.identifying);
  settle_for_preparation(source.files, options.modality, options.intensity);
  Plan plan;
  plan.layout = source.layout;
  plan.identifying = source.identifying;
  plan.cases = plan_cases(source.files, pseudonyms, options.workers > 0 ? options.workers : usable_threads());
  plan.intensity = intensity_text(plan.cases, options);
  plan.slice_axis = options.slice_axis;
  if (const io::CommonAxis common = common_axis(plan.cases); plan.slice_axis == "auto" && common.axis >= 0) {
    plan.slice_axis = io::axis_name(common.axis);
    source.remarks.push_back({"", "slices of volumes are cut along " + common.text() + " (prepare.slice_axis)"});
  }
  plan.shards = divide(plan.cases, static_cast<uint64_t>(options.shard_mb) << 20);
  plan.label_names = source.label_names;
  for (const std::string& name : source.channel_names) plan.channel_names.push_back(pseudonyms.redact_name(name));
  plan.is_multi_label = source.is_multi_label;
  plan.ignore_label = source.ignore_label;
  plan.regions = source.regions;
  plan.has_masks = std::any_of(source.files.begin(), source.files.end(),
                               [](const io::SourceFile& file) { return !file.mask.empty(); });
  number_masks(options, pseudonyms, source, plan);
  plan.refused = redacted(source.refused, pseudonyms);
  plan.remarks = redacted(source.remarks, pseudonyms);
  plan.fingerprint = fingerprint_of(plan, options);
  return plan;
}

}  // namespace vmae::run
