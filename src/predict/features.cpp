// Case after case as `vmae predict` takes them: its slices onto the network's
// size, through the encoder, and the pooled tokens of its last stage written down.
#include "vmae/predict/features.h"

#include <ATen/ops/cat.h>

#include <cstdio>
#include <future>
#include <nlohmann/json.hpp>

#include "input.h"
#include "slice_predictor.h"
#include "vmae/cases/time_points.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/json_text.h"
#include "vmae/core/log.h"
#include "vmae/core/version.h"
#include "vmae/predict/model_file.h"
#include "vmae/report/progress.h"
#include "vmae/report/table.h"
#include "vmae/runs/source_notes.h"
#include "vmae/sources/case_names.h"
#include "vmae/train/device.h"
#include "vmae/train/precision.h"
#include "vmae/weights/safetensors.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

// Rows of what is written.
struct Rows {
  std::vector<std::string> names;  // of cases
  std::vector<int64_t> slices;     // which slice (from 0), or how many the case has
  std::vector<at::Tensor> vectors;
};

bool is_csv(const fs::path& output) { return output.extension() == ".csv"; }

void check_output(const FeaturesArguments& arguments) {
  const fs::path& output = arguments.output;
  if (!is_csv(output) && output.extension() != ".safetensors")
    throw Error(ExitCode::usage, concat("--output ", output.string(), ": unknown kind of file"),
                "end its name in .csv or .safetensors");
  std::error_code problem;
  if (fs::exists(output, problem) && !arguments.overwrite)
    throw Error(ExitCode::usage, concat("--output ", output.string(), " exists already"),
                "choose another name, or replace it with --overwrite");
  if (const fs::path folder = output.parent_path(); !folder.empty() && !fs::is_directory(folder, problem))
    throw Error(ExitCode::usage,
                concat("--output ", output.string(), ": the folder ", folder.string(), " does not exist"),
                concat("make it (mkdir -p ", folder.string(), "), or choose another"));
}

// Without tiles: an image that training saw at its own scale, in parts, is seen whole.
data::ImageOptions whole_image(const LoadedEncoder& encoder) {
  data::ImageOptions image = encoder.card.image;
  if (encoder.name == "swin-classifier" || (image.resize != "none" && image.resize != "crop")) return image;
  log::warning(concat("the model was trained with data.resize = ", image.resize,
                      " and saw parts of images: here it sees them whole, stretched to its size"));
  image.resize = "stretch";
  return image;
}

// (slices, features) of a case.
at::Tensor features_of(const LoadedEncoder& encoder, const data::Case& one, const data::ImageOptions& image,
                       at::Device device, train::Precision precision, int64_t batch) {
  const at::NoGradGuard no_grad;
  const int64_t count = one.volume.size[static_cast<size_t>(one.axis)];
  std::vector<at::Tensor> parts;
  for (int64_t first = 0; first < count; first += batch) {
    std::vector<io::Image> slices;
    for (int64_t i = first; i < std::min(count, first + batch); ++i)
      slices.push_back(io::slice_of(one.volume, one.axis, i));
    const at::Tensor input = network_input(slices, {one.range}, image, encoder.card.minmax).to(device);
    const train::Autocast autocast(device.type(), precision);
    parts.push_back(encoder.net->features(input).to(at::kFloat).cpu());
  }
  return at::cat(parts);
}

std::string csv_of(const Rows& rows, bool per_case, int64_t num_features) {
  std::vector<std::string> fields{"case", per_case ? "slices" : "slice"};
  for (int64_t k = 0; k < num_features; ++k) fields.push_back(concat("f", k));
  std::string text = report::csv_line(fields);
  for (size_t i = 0; i < rows.names.size(); ++i) {
    fields = {rows.names[i], std::to_string(rows.slices[i])};
    const at::Tensor vector = rows.vectors[i].contiguous();
    for (int64_t k = 0; k < num_features; ++k) {
      char number[32];
      std::snprintf(number, sizeof number, "%.9g", static_cast<double>(vector.const_data_ptr<float>()[k]));
      fields.emplace_back(number);
    }
    text += report::csv_line(fields);
  }
  return text;
}

}  // namespace

ExitCode features(const FeaturesArguments& arguments) {
  check_output(arguments);
  const at::Device device = train::resolve_device(arguments.device);
  train::configure_compute(device, arguments.threads);
  const train::Precision precision = train::resolve_precision(arguments.precision, device);
  const fs::path weights = find_weights(arguments.weights);
  const LoadedEncoder encoder = load_encoder(weights, device);
  const data::ImageOptions image = whole_image(encoder);
  const int64_t num_features = encoder.net->swin().embed_dim << 3;
  const bool per_case = arguments.per == "case";

  const io::Source source = io::find_source(arguments.input, arguments.layout);
  log_remarks(source);
  std::vector<io::SourceRemark> refused = source.refused;
  const std::vector<io::SourceFile> cases = cases_for(encoder.card, source.files, source.channel_names, refused);
  const std::vector<std::string> names = names_beside(cases, {}, source.identifying);
  log::info(concat("encoder of a ", encoder.name, ", ", num_features, " features per ", arguments.per, "; ",
                   cases.size(), " cases, on ", device.str()));

  Rows rows;
  std::vector<std::string> failed, problems;
  for (const io::SourceRemark& one : refused) {
    failed.push_back(io::without(one.name, source.identifying));
    problems.push_back(one.text);
  }
  ProgressBar bar(stderr_is_terminal());
  std::future<LoadedCase> next;
  const auto read_ahead = [&](size_t i) {
    if (i < cases.size()) next = std::async(std::launch::async, load_case, std::cref(cases[i]), std::cref(image));
  };
  read_ahead(0);
  for (size_t i = 0; i < cases.size(); ++i) {
    const LoadedCase loaded = next.get();
    read_ahead(i + 1);
    try {
      if (loaded.problem) throw Error(*loaded.problem);
      const at::Tensor vectors = features_of(encoder, loaded.one, image, device, precision, arguments.batch);
      const int64_t count = vectors.size(0);
      for (int64_t slice = 0; slice < (per_case ? 1 : count); ++slice) {
        rows.names.push_back(names[i]);
        rows.slices.push_back(per_case ? count : slice);
        rows.vectors.push_back(per_case ? vectors.mean(0) : vectors[slice]);
      }
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;
      failed.push_back(names[i]);
      problems.push_back(io::without(error.what(), source.identifying));
    }
    bar.update({"features", static_cast<int64_t>(i) + 1, static_cast<int64_t>(cases.size()), {{"case", names[i]}}});
  }
  bar.finish();
  if (!failed.empty())
    log::warning(concat(failed.size(), failed.size() == 1 ? " case was" : " cases were", " left out:"));
  for (size_t i = 0; i < failed.size(); ++i) log::warning(concat("  ", failed[i], ": ", problems[i]));
  if (rows.names.empty()) throw Error(ExitCode::data, "no case could be read", "see the reasons above");

  if (is_csv(arguments.output)) {
    write_file_atomically(arguments.output, csv_of(rows, per_case, num_features));
  } else {
    weights::write_safetensors(arguments.output, {{"features", at::stack(rows.vectors)}},
                               {{"names", json_text(nlohmann::json(rows.names))},
                                {per_case ? "num_slices" : "slices", json_text(nlohmann::json(rows.slices))},
                                {"per", arguments.per},
                                {"model", encoder.name},
                                {"weights", weights.filename().string()},
                                {"vmae_version", version()}});
  }
  log::info(concat(rows.names.size(), " x ", num_features, " features written to ", arguments.output.string()));
  return failed.empty() ? ExitCode::ok : ExitCode::some_failed;
}

}  // namespace vmae::run
