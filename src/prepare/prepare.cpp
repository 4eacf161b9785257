#include "vmae/prepare/prepare.h"

#include <nlohmann/json.hpp>

#include "describe_plan.h"
#include "output_folder.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/clock.h"
#include "vmae/core/error.h"
#include "vmae/core/json_text.h"
#include "vmae/core/log.h"
#include "vmae/core/log_once.h"
#include "vmae/core/signals.h"
#include "vmae/core/version.h"
#include "vmae/prepare/names_table.h"
#include "vmae/prepare/plan.h"
#include "vmae/prepared/prepared.h"
#include "vmae/prepared/writer.h"
#include "write_shards.h"

namespace vmae::run {
namespace {

namespace fs = std::filesystem;

void check(const PrepareOptions& options) {
  const auto require = [](bool is_good, const std::string& problem) {
    if (!is_good) throw Error(ExitCode::usage, problem);
  };
  require(options.bits == 8 || options.bits == 16, concat("prepare.bits = ", options.bits, "; allowed: 8 or 16"));
  require(options.resize.empty() || options.resize.size() == 2, "prepare.resize must be [height, width]");
  require(options.window.empty() || (options.window.size() == 2 && options.window[0] < options.window[1]),
          "prepare.window must be two values, the lower first, as in [-160, 240]");
  require(options.intensity != "window" || options.window.size() == 2,
          "prepare.intensity is window, so prepare.window must be two values, the lower first, as in [-160, 240]");
  require(options.percentiles.size() == 2 && options.percentiles[0] < options.percentiles[1],
          "prepare.percentiles must be two values, the lower first, as in [0.5, 99.5]");
}

// Neither lies in the other: what is written must not be read, nor what is read be overwritten.
void check_apart(const fs::path& input, const fs::path& output) {
  const auto is_inside = [](const fs::path& inner, const fs::path& outer) {
    const fs::path relative = inner.lexically_relative(outer);
    return !relative.empty() && *relative.begin() != "..";
  };
  std::error_code ignored;
  const fs::path from = fs::weakly_canonical(input, ignored), to = fs::weakly_canonical(output, ignored);
  if (is_inside(from, to) || (fs::is_directory(from, ignored) && is_inside(to, from)))
    throw Error(ExitCode::usage, "--input and --output lie one in the other", "choose a folder outside of the input");
}

// What the index says of the dataset, but for what complete_info() counts.
io::PreparedInfo info_of(const Plan& plan, const PrepareOptions& options, const Pseudonyms& pseudonyms) {
  io::PreparedInfo info;
  info.options = content_options(options);
  info.layout = plan.layout;
  info.percentiles = options.percentiles;
  info.intensity = options.intensity;
  info.label_names = plan.label_names;
  info.channel_names = plan.channel_names;
  info.is_multi_label = plan.is_multi_label;
  for (const std::string& name : plan.mask_names) info.mask_names.push_back(pseudonyms.redact_name(name));
  info.has_masks = plan.has_masks;
  info.ignore_label = plan.ignore_label;
  info.regions = plan.regions;
  for (io::LabelRegion& region : info.regions) region.name = pseudonyms.redact_name(region.name);
  for (const PlannedShard& shard : plan.shards)
    info.shards.push_back({shard.file(), 0, static_cast<int64_t>(shard.num_cases), 0, 0});
  return info;
}

void write_lists(const Plan& plan, const io::PreparedInfo& info, const OutputFolder& folder,
                 const Pseudonyms& pseudonyms) {
  using Json = nlohmann::ordered_json;
  std::string quarantine, duplicates;
  const auto line = [](const Json& json) { return json_text(json) + "\n"; };
  for (const io::SourceRemark& refusal : plan.refused)
    quarantine += line({{"name", pseudonyms.name(refusal.name)}, {"reason", refusal.text}});
  const io::PreparedDataset dataset(folder.path(), info);
  for (int64_t i = 0;
       i < dataset.info().num_cases && (dataset.info().num_failed > 0 || dataset.info().num_duplicates > 0); ++i) {
    const io::PreparedCase c = dataset.read_case(i);
    if (!c.failure.empty()) quarantine += line({{"name", c.name}, {"case", i}, {"reason", c.failure}});
    if (c.duplicate_of)
      duplicates += line({{"name", c.name},
                          {"case", i},
                          {"same_pixels_as", dataset.read_case(*c.duplicate_of).name},
                          {"as_case", *c.duplicate_of}});
  }
  write_file_atomically(folder.file("quarantine.jsonl"), quarantine);
  write_file_atomically(folder.file("duplicates.jsonl"), duplicates);
}

// Lists and index, of a dataset whose cases are all written. Returns the index.
io::PreparedInfo finish(const Plan& plan, const io::PreparedInfo& info, const OutputFolder& folder,
                        const Pseudonyms& pseudonyms) {
  const io::PreparedInfo result = io::complete_info(folder.path(), info);
  write_lists(plan, result, folder, pseudonyms);
  fs::remove(folder.file("work.mdb"));
  io::write_index(folder.path(), result);
  return result;
}

void tell_result(const Plan& plan, const io::PreparedInfo& result, const OutputFolder& folder,
                 Clock::time_point began) {
  uint64_t bytes = 0;
  for (const io::PreparedShard& shard : result.shards) bytes += fs::file_size(folder.file(shard.file));
  log::info(concat("prepared ", result.num_items, " slices of ", result.num_cases - result.num_failed, " cases in ",
                   human_seconds(seconds_since(began)), ", ", human_bytes(static_cast<double>(bytes)), "; left out ",
                   result.num_failed + static_cast<int64_t>(plan.refused.size()),
                   " (quarantine.jsonl), exact duplicates ", result.num_duplicates, " (duplicates.jsonl)"));
  log::info("digest " + result.digest);
}

// Of a finished dataset. Its own records say whether these are its cases, and this its salt.
void write_names(const Plan& plan, const OutputFolder& folder, const Pseudonyms& pseudonyms, const fs::path& file) {
  const io::PreparedDataset dataset(folder.path());
  std::vector<io::SourceFile> files;
  for (size_t i = 0; i < plan.cases.size(); ++i) {
    files.push_back(plan.cases[i].file);
    if (dataset.read_case(static_cast<int64_t>(i)).name != pseudonyms.name(files.back().name))
      throw Error(ExitCode::usage, "the dataset's names were made with another salt: no names table can be written",
                  "give its prepare.salt_file");
  }
  NamesTable table = name_cases(std::move(files), plan.refused, plan.identifying,
                                [&](const std::string& name) { return pseudonyms.name(name); });
  table.digest = dataset.info().digest;
  write_names_table(file, table);
  log::info(concat("names table: ", table.cases.size(),
                   " cases. It identifies patients: keep it secret, and never with the dataset"));
}

ExitCode code_of(const Plan& plan, const io::PreparedInfo& info) {
  return info.num_failed > 0 || !plan.refused.empty() ? ExitCode::some_failed : ExitCode::ok;
}

}  // namespace

ExitCode prepare(const PrepareConfig& config, const PrepareArguments& arguments) {
  const PrepareOptions& options = config.prepare;
  check(options);
  const auto began = Clock::now();
  install_stop_signals();
  Pseudonyms pseudonyms(read_salt(options.salt_file), options.names == "keep");
  if (options.names != "keep") log::name_no_subjects();
  if (!arguments.dry_run) check_apart(arguments.input, arguments.output);
  if (!arguments.dry_run && !arguments.names_table.empty()) check_table_place(arguments.names_table, arguments.output);
  const Plan plan = make_plan(arguments.input, options, pseudonyms);
  if (arguments.dry_run) {
    log::info(describe_plan(plan, pseudonyms));
    log::info("dry run: nothing was written");
    return ExitCode::ok;
  }
  OutputFolder folder(arguments.output);
  folder.begin(plan, pseudonyms, arguments.overwrite);
  log::add_file(folder.file("prepare.log"));
  log::info(concat("vmae ", version(), " (", git_revision(), ") prepare"));
  log::info(describe_plan(plan, pseudonyms));
  if (io::is_prepared(folder.path())) {
    const io::PreparedInfo finished = io::PreparedDataset(folder.path()).info();
    log::info(concat("nothing to do: this dataset is finished, digest ", finished.digest));
    if (!arguments.names_table.empty()) write_names(plan, folder, pseudonyms, arguments.names_table);
    return code_of(plan, finished);
  }
  if (!write_shards(plan, folder, options, pseudonyms)) {
    log::info(concat("stopped by ", stop_signal_name(), "; run the same command again to go on",
                     arguments.names_table.empty() ? "" : "; the names table is written at the end"));
    return ExitCode::stopped;
  }
  const io::PreparedInfo result = finish(plan, info_of(plan, options, pseudonyms), folder, pseudonyms);
  tell_result(plan, result, folder, began);
  if (!arguments.names_table.empty()) write_names(plan, folder, pseudonyms, arguments.names_table);
  if (result.num_items == 0)
    throw Error(ExitCode::data, "no image could be prepared", "the reasons are in quarantine.jsonl");
  return code_of(plan, result);
}

}  // namespace vmae::run
