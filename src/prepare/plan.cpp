#include "vmae/prepare/plan.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cmath>
#include <map>
#include <regex>
#include <set>
#include <thread>

#include "vmae/cases/channels.h"
#include "vmae/cases/class_names.h"
#include "vmae/cases/mask_numbering.h"
#include "vmae/cases/read_image.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/counting.h"
#include "vmae/core/error.h"
#include "vmae/core/hash.h"
#include "vmae/core/log.h"
#include "vmae/core/machine.h"
#include "vmae/data/modality.h"
#include "vmae/image/file_name.h"
#include "vmae/image/picture.h"
#include "vmae/runs/modality.h"
#include "vmae/sources/case_names.h"
#include "vmae/sources/patients.h"

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

// Size and time of the last change: what tells that a file is another one than before.
std::string state_of(const fs::path& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return " -";
  return concat(' ', status.st_size, ' ', status.st_mtim.tv_sec, '.', status.st_mtim.tv_nsec);
}

PlannedCase plan_case(const io::SourceFile& file, const Pseudonyms& pseudonyms) {
  PlannedCase planned{file, std::nullopt, {}, "", size_of_files(file)};
  try {
    planned.header = io::read_image_header(file);
    planned.structures = io::structure_names(file);
  } catch (const std::exception& error) {  // found again, and quarantined, when its turn comes
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

std::vector<PlannedCase> plan_cases(const std::vector<io::SourceFile>& files, const Pseudonyms& pseudonyms,
                                    int64_t workers) {
  std::vector<PlannedCase> cases(files.size());
  Counting counting("headers of images", std::ssize(files));
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < files.size(); i = next++) {
      cases[i] = plan_case(files[i], pseudonyms);
      counting.add();
    }
  };
  std::vector<std::jthread> threads;
  for (int64_t i = 1; i < workers; ++i) threads.emplace_back(work);
  work();
  threads.clear();
  // Time points, and channels, are cases of their own.
  std::vector<PlannedCase> expanded;
  for (PlannedCase& planned : cases) {
    if (!planned.file.channels.empty()) {
      add_channels(planned, expanded);
      continue;
    }
    const int64_t num_time_points = planned.header ? planned.header->num_time_points : 1;
    for (int64_t t = 0; t < num_time_points; ++t) {
      expanded.push_back(planned);
      if (num_time_points == 1) continue;
      expanded.back().file.time_point = t;
      expanded.back().file.name += concat("#t", t);
    }
  }
  return expanded;
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

// Every name once, in the order of the cases.
std::vector<std::string> all_structures(const std::vector<PlannedCase>& cases) {
  std::vector<std::string> names;
  for (const PlannedCase& planned : cases) {
    for (const std::string& name : planned.structures) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  if (names.size() > 255) {
    throw Error(ExitCode::data,
                concat("the masks have ", names.size(), " different structures; a mask has values up to 255"),
                "name those that are meant: prepare.structures=[NAME, ...]");
  }
  return names;
}

std::vector<std::string> names_of_classes(const std::vector<NamedTexts>& classes) {
  std::vector<std::string> names;
  for (const NamedTexts& one : classes) names.push_back(one.name);
  return names;
}

// A class of several structures is a decision about names: one that no mask has is a mistake.
void require_structures(const std::vector<NamedTexts>& classes, const std::vector<PlannedCase>& cases,
                        const std::vector<std::string>& identifying) {
  std::set<std::string> found, shown;
  for (const PlannedCase& planned : cases) found.insert(planned.structures.begin(), planned.structures.end());
  for (const std::string& name : found) shown.insert(io::without(name, identifying));
  for (const NamedTexts& one : classes) {
    for (const std::string& name : one.texts) {
      // a class that is one structure: a remark
      if (one.texts == std::vector{one.name} || found.contains(name)) continue;
      const std::string nearest = did_you_mean(name, {shown.begin(), shown.end()});
      throw Error(ExitCode::data,
                  concat("prepare.structures: no mask has the structure '", name, "' of the class ", one.name),
                  concat(nearest.empty() ? "" : concat("did you mean '", nearest, "'? "),
                         "The masks have: ", join({shown.begin(), shown.end()}, ", ")));
    }
  }
}

// What masks call their values: by their names where that is asked for or numbers differ, else numbers are kept.
std::vector<std::string> number_structures(const io::Source& source, const std::vector<NamedTexts>& given,
                                           std::vector<PlannedCase>& cases) {
  io::check_class_names(names_of_classes(given), "prepare.structures", ExitCode::usage);
  io::check_numbering(source.files, source.mask_names);
  for (const PlannedCase& planned : cases) {
    if (given.empty() || planned.file.mask.empty() || !planned.problem.empty() || !planned.structures.empty()) continue;
    throw Error(ExitCode::data,
                concat("the mask of ", planned.file.name,
                       " does not name its structures, but prepare.structures chooses them by name"),
                "leave prepare.structures out: numbers are kept then; data.classes and data.label_values of vmae "
                "finetune-seg say what they mean");
  }
  if (!given.empty()) {
    require_structures(given, cases, source.identifying);
    return names_of_classes(given);
  }
  const bool all_named =
      source.mask_names.empty() && std::all_of(cases.begin(), cases.end(), [](const PlannedCase& planned) {
        return planned.file.mask.empty() || !planned.problem.empty() || !planned.structures.empty();
      });
  try {
    const std::vector<std::string> names = io::structure_names(source.files, source.mask_names);
    if (!names.empty() && source.mask_names.empty()) return names;
    if (all_named) return all_structures(cases);
  } catch (const Error& error) {
    if (!all_named) throw Error(error.code(), io::without(error.what(), source.identifying), error.hint());
    log::info("masks number their structures in different ways: they are numbered by name");
    return all_structures(cases);
  }
  for (PlannedCase& planned : cases) planned.structures.clear();
  return source.mask_names;
}

// What is odd about names over all cases: wanted ones that no mask has, and those that differ in case only.
std::vector<std::string> remarks_on_structures(const std::vector<NamedTexts>& classes,
                                               const std::vector<PlannedCase>& cases) {
  std::set<std::string> found;
  std::map<std::string, std::string> class_of;
  for (const PlannedCase& planned : cases) found.insert(planned.structures.begin(), planned.structures.end());
  std::vector<std::string> remarks;
  if (found.empty()) return remarks;
  for (const NamedTexts& one : classes) {
    for (const std::string& name : one.texts) {
      class_of[name] = one.name;
      if (!found.contains(name))
        remarks.push_back(concat("no mask has the structure '", name, "' of prepare.structures"));
    }
  }
  std::map<std::string, std::string> by_lower;
  for (const std::string& name : found) {
    const auto other = by_lower.emplace(to_lower(name), name);
    const bool is_one_class = class_of.contains(name) && class_of[name] == class_of[other.first->second];
    if (!other.second && !is_one_class)
      remarks.push_back(concat("the structures '", other.first->second, "' and '", name,
                               "' differ in case only: they are two classes"));
  }
  return remarks;
}

// Not within a word or a number: files of DICOM are called "1", or "image".
void replace_all(std::string& text, const std::string& from, const std::string& to) {
  if (from.empty()) return;
  const auto goes_on = [&](size_t at) {
    return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at]));
  };
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at)) {
    const bool is_part = (at > 0 && goes_on(at - 1)) || goes_on(at + from.size());
    if (!is_part) text.replace(at, from.size(), to);
    at += is_part ? from.size() : to.size();
  }
}

constexpr size_t kShown = 20;  // lines of problems, and of notes

template <class Map>
std::vector<std::pair<typename Map::key_type, typename Map::mapped_type>> first_of(const Map& map) {
  return {map.begin(), std::next(map.begin(), static_cast<std::ptrdiff_t>(std::min(map.size(), kShown)))};
}

std::string range_text(double low, double high) {
  return low == high ? number_text(low) : number_text(low) + "-" + number_text(high);
}

}  // namespace

std::string Pseudonyms::name(const std::string& path) const {
  return keeps_names_ ? path : hex(hmac_sha256(salt_, "name:" + path), 8);
}
std::string Pseudonyms::patient(const std::string& id) const { return hex(hmac_sha256(salt_, "patient:" + id), 8); }

std::string Pseudonyms::salt_check() const { return hex(hmac_sha256(salt_, "salt"), 8); }

void Pseudonyms::know(const std::vector<std::string>& identifying) {
  for (const std::string& text : identifying) {
    const bool is_number = text.find_first_not_of("0123456789") == std::string::npos;
    if (text.size() >= (is_number ? 4U : 3U)) identifying_.push_back(to_lower(text));
  }
  // The longest first, so that no part of it stays.
  std::sort(identifying_.begin(), identifying_.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() > b.size() : a < b;
  });
}

std::string Pseudonyms::redact(std::string message, const io::SourceFile& file) const {
  const auto hide = [&](const fs::path& path, const char* with) {
    replace_all(message, path.string(), with);
    replace_all(message, path.filename().string(), with);
  };
  // the image may have the same name
  if (!file.mask.empty()) replace_all(message, "its mask " + file.mask.filename().string(), "its mask");
  hide(file.path, "the file");
  for (const fs::path& path : file.series) hide(path, "a file of the series");
  if (!file.mask.empty()) hide(file.mask, "the mask");
  return redact(std::move(message));
}

std::string Pseudonyms::redact_name(const std::string& name) const { return io::without(name, identifying_); }

std::string Pseudonyms::redact(std::string text) const {
  text = io::without(std::move(text), identifying_);
  // Words that look like a path, or like the name of a file.
  static const std::regex kPath(
      R"([^\s"'(]*/[^\s"'):,;]*[A-Za-z_][^\s"'):,;]*|[^\s"'(]+\.(raw|zraw|gz|nii|nrrd|nhdr|mha|mhd|dcm|ima|img|hdr|bin|png|jpe?g|tiff?|bmp|csv)\b)",
      std::regex::icase);
  return std::regex_replace(text, kPath, "<file>");
}

namespace {

// Empty: there is no home.
fs::path own_salt_file() {
  const char *config = std::getenv("XDG_CONFIG_HOME"), *home = std::getenv("HOME");
  if (config == nullptr && home == nullptr) return {};
  return (config ? fs::path(config) : fs::path(home) / ".config") / "vmae" / "salt";
}

}  // namespace

bool has_own_salt() {
  std::error_code ignored;
  return !own_salt_file().empty() && fs::exists(own_salt_file(), ignored);
}

std::string read_salt(const fs::path& salt_file, bool may_make) {
  fs::path file = salt_file;
  if (file.empty()) {
    file = own_salt_file();
    if (file.empty())
      throw Error(ExitCode::usage, "there is no home folder to keep the salt in",
                  "give a file: prepare.salt_file=FILE");
    if (!fs::exists(file) && !may_make) {
      throw Error(
          ExitCode::usage,
          concat("there is no salt in ", file.string(), ", which names of prepared datasets are hashed with"),
          "give the prepare.salt_file of the dataset: --salt-file FILE; or its names table: --names-table FILE");
    }
    if (!fs::exists(file)) {
      fs::create_directories(file.parent_path());
      const mode_t old = umask(077);
      write_file_atomically(file, hex(sha256(random_bytes(32))) + "\n");
      umask(old);
    }
  }
  if (!fs::exists(file))
    throw Error(
        ExitCode::usage, concat(may_make ? "prepare.salt_file = " : "--salt-file ", file.string(), " does not exist"),
        may_make ? "make one: openssl rand -hex 32 > FILE" : "give the file that the dataset was prepared with");
  const std::string salt(trim(read_file(file)));
  if (salt.size() < 16)
    throw Error(ExitCode::usage,
                concat("the salt in ", file.string(), " has ", salt.size(), " characters; at least 16 are needed"),
                "make one: openssl rand -hex 32 > FILE");
  return salt;
}

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
        "of patients, and are written only if "
        "asked "
        "for. Where they are classes, prepare.layout=class_folders keeps them as labels");
  }
  return source;
}

std::vector<NamedTexts> classes_of_structures(const std::vector<NamedTexts>& given) {
  std::vector<NamedTexts> classes;
  std::map<std::string, std::string> class_of;
  const auto named = [](const std::string& text) {
    const std::string name(trim(text));
    if (name.empty())
      throw Error(ExitCode::usage, "prepare.structures holds an empty name", "name each structure once");
    return name;
  };
  for (const NamedTexts& group : given) {
    classes.push_back({named(group.name), {}});
    for (const std::string& text : group.texts) {
      const auto [other, is_new] = class_of.emplace(named(text), classes.back().name);
      if (!is_new)
        throw Error(ExitCode::usage,
                    concat("prepare.structures names '", other->first, "' twice",
                           other->second == classes.back().name
                               ? ""
                               : concat(", for ", other->second, " and for ", classes.back().name)),
                    "name each structure once");
      classes.back().texts.push_back(other->first);
    }
  }
  return classes;
}

namespace {

// Overlaps within one class are none.
bool is_within_a_class(const std::string& remark, const std::vector<NamedTexts>& classes) {
  for (const NamedTexts& one : classes) {
    for (const std::string& a : one.texts) {
      for (const std::string& b : one.texts) {
        if (remark.find(concat("'", a, "' and '", b, "' overlap in ")) != std::string::npos) return true;
      }
    }
  }
  return false;
}

// Names of structures are written without what identifies patients, and must still be names of their own.
void check_redacted(const std::vector<std::string>& names, const Pseudonyms& pseudonyms) {
  std::vector<std::string> redacted;
  int64_t num_changed = 0;
  for (const std::string& name : names) {
    redacted.push_back(pseudonyms.redact_name(name));
    num_changed += redacted.back() == name ? 0 : 1;
  }
  if (num_changed > 0)
    log::warning(concat("names of patients, or ids, stand in the names of ", num_changed,
                        num_changed == 1 ? " structure" : " structures", ": written as *"));
  for (const std::string& remark :
       io::check_class_names(redacted, "names of structures, without what identifies patients"))
    log::warning(remark);
}

}  // namespace

static std::string intensity_text(const std::vector<PlannedCase>& cases, const PrepareOptions& options) {
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
static io::CommonAxis common_axis(const std::vector<PlannedCase>& cases) {
  std::vector<io::VolumeHeader> volumes;
  for (const PlannedCase& planned : cases) {
    if (planned.header && planned.file.series.empty() && !io::is_picture(planned.file.path))
      volumes.push_back(*planned.header);
  }
  return io::common_slice_axis(volumes);
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
  const std::vector<NamedTexts> classes = classes_of_structures(options.structures);
  plan.mask_names = number_structures(source, classes, plan.cases);
  check_redacted(plan.mask_names, pseudonyms);
  plan.ignore_label = source.ignore_label;
  plan.regions = source.regions;
  for (const std::string& remark : remarks_on_structures(classes, plan.cases)) source.remarks.push_back({"", remark});
  std::erase_if(source.remarks,
                [&](const io::SourceRemark& remark) { return is_within_a_class(remark.text, classes); });
  plan.has_masks = std::any_of(source.files.begin(), source.files.end(),
                               [](const io::SourceFile& file) { return !file.mask.empty(); });
  for (const auto& [from, to] : {std::pair{&source.refused, &plan.refused}, {&source.remarks, &plan.remarks}}) {
    for (const io::SourceRemark& remark : *from) to->push_back({remark.name, pseudonyms.redact(remark.text)});
  }

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
  for (const PlannedCase& planned : plan.cases) {
    const io::SourceFile& file = planned.file;
    std::string text = concat(file.name, '\n', file.patient, '\n', file.split, ' ', file.fold, ' ', file.modality, ' ',
                              file.mask.string(), '\n');
    for (const fs::path& path : files_of(file)) text += state_of(path);
    for (const fs::path& path : file.mask.empty() ? std::vector<fs::path>{} : io::files_read_with(file.mask))
      text += state_of(path);
    for (const float label : file.labels) text += concat(' ', label);
    for (const int64_t channel : planned.channels) text += concat(" channel ", channel);
    add(hex(hmac_sha256("plan", text)));
  }
  plan.fingerprint = hex(fingerprint.finish());
  return plan;
}

std::string describe_plan(const Plan& plan, const Pseudonyms& pseudonyms) {
  struct Kind {
    int64_t cases = 0, slices = 0, masks = 0;
    uint64_t bytes = 0;
    std::array<double, 2> shorter{1e9, 0}, longer{1e9, 0}, spacing{1e9, 0};
  };
  std::map<std::string, Kind> kinds;
  io::PatientCount patients;
  std::map<std::string, int64_t> problems;
  for (const PlannedCase& planned : plan.cases) {
    patients.add(planned.file);
    if (!planned.problem.empty()) {
      ++problems[planned.problem];
      continue;
    }
    const std::string modality = planned.file.modality.empty() ? "modality not known" : planned.file.modality;
    Kind& kind = kinds[modality + (!planned.header                     ? ", pictures"
                                   : !planned.file.series.empty()      ? ", DICOM series"
                                   : io::is_picture(planned.file.path) ? ", TIFF stacks"
                                                                       : ", volumes")];
    ++kind.cases;
    kind.bytes += planned.bytes;
    kind.masks += planned.file.mask.empty() ? 0 : 1;
    if (!planned.header) {
      ++kind.slices;
      continue;
    }
    const io::VolumeHeader& header = *planned.header;
    const bool is_tiff = planned.file.series.empty() && io::is_picture(planned.file.path);
    const int axis = planned.file.series.empty() && !is_tiff ? io::slice_axis(header, plan.slice_axis) : 2;
    kind.slices += header.size[static_cast<size_t>(axis)];
    const auto note = [](std::array<double, 2>& range, double value) {
      range[0] = std::min(range[0], value);
      range[1] = std::max(range[1], value);
    };
    const auto [shorter, longer] = std::minmax(header.size[axis == 0 ? 1 : 0], header.size[axis == 2 ? 1 : 2]);
    note(kind.shorter, static_cast<double>(shorter));
    note(kind.longer, static_cast<double>(longer));
    if (!is_tiff || io::stack_spacing_mm(planned.file.path))
      note(kind.spacing, std::round(100 * header.spacing_mm[axis == 0 ? 1 : 0]) / 100);
  }
  const auto num_cases =
      std::count_if(plan.cases.begin(), plan.cases.end(), [](const PlannedCase& one) { return one.channel_of < 0; });
  std::string text =
      concat("found (layout ", plan.layout, "): ", num_cases, num_cases == 1 ? " case" : " cases", patients.suffix(),
             plan.channel_names.empty()
                 ? ""
                 : concat(", each of ", plan.channel_names.size(), " channels: ", join(plan.channel_names, ", ")),
             plan.label_names.empty()
                 ? ""
                 : concat(", ", plan.label_names.size(),
                          plan.is_multi_label ? " findings: " : " classes: ", join(plan.label_names, ", ")));
  for (const auto& [name, kind] : kinds) {
    text += concat("\n  ", name, ": ", kind.cases, " cases, ", kind.slices, " slices, ",
                   human_bytes(static_cast<double>(kind.bytes)));
    if (kind.longer[1] > 0)
      text += concat(", slices of ", range_text(kind.shorter[0], kind.shorter[1]), " x ",
                     range_text(kind.longer[0], kind.longer[1]), " pixels");
    if (kind.spacing[1] > 0) text += concat(", pixels of ", range_text(kind.spacing[0], kind.spacing[1]), " mm");
    if (kind.masks > 0) text += concat(", ", kind.masks, " with a mask");
  }
  text += "\n  " + plan.intensity;
  for (const io::SourceRemark& refusal : plan.refused) ++problems[refusal.text];
  const auto more = [&text](size_t count) {
    text += count > kShown ? concat("\n  ... and ", count - kShown, " more kinds") : "";
  };
  for (const auto& [problem, count] : first_of(problems))
    text += concat("\n  left out: ", count, count == 1 ? " file: " : " files: ", problem);
  std::map<std::string, std::vector<std::string>> remarks;
  for (const io::SourceRemark& remark : plan.remarks)
    remarks[remark.text].push_back(remark.name.empty() ? "" : pseudonyms.name(remark.name));
  more(problems.size());
  for (const auto& [remark, names] : first_of(remarks))
    text += concat("\n  note: ", names.front(), names.size() > 1 ? concat(" and ", names.size() - 1, " more") : "",
                   names.front().empty() ? "" : ": ", remark);
  more(remarks.size());
  return text;
}

}  // namespace vmae::run
