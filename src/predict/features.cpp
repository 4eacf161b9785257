// Case after case as `vmae predict` takes them: its slices onto the network's
// size, through the encoder, and the pooled tokens of its last stage written down.
#include "vmae/predict/features.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <future>
#include <new>
#include <nlohmann/json.hpp>

#include "input.h"
#include "slice_predictor.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/json_text.h"
#include "vmae/core/log.h"
#include "vmae/core/version.h"
#include "vmae/predict/find_weights.h"
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

  // of_slices: (slices, features)
  void add(const std::string& name, const at::Tensor& of_slices, bool per_case) {
    // all of them before the first row: memory that is short leaves no row half written
    const std::vector<at::Tensor> own = per_case ? std::vector<at::Tensor>{of_slices.mean(0)} : of_slices.unbind(0);
    for (size_t i = 0; i < own.size(); ++i) {
      names.push_back(name);
      slices.push_back(per_case ? of_slices.size(0) : static_cast<int64_t>(i));
      vectors.push_back(own[i]);
    }
  }
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

// How cases become vectors.
struct Encoding {
  fs::path weights;
  LoadedEncoder encoder;
  data::ImageOptions image;
  at::Device device;
  train::Precision precision;
  int64_t batch;

  int64_t num_features() const { return encoder.net->swin().embed_dim << 3; }

  // (slices, features) of a case.
  at::Tensor features_of(const data::Case& one) const {
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
};

Encoding load_encoding(const FeaturesArguments& arguments) {
  const at::Device device = train::resolve_device(arguments.device);
  train::configure_compute(device, arguments.threads, /*deterministic=*/false);
  const train::Precision precision = train::resolve_precision(arguments.precision, device);
  const fs::path weights = find_weights(arguments.weights);
  const LoadedEncoder encoder = load_encoder(weights, device);
  return {weights, encoder, whole_image(encoder), device, precision, arguments.batch};
}

// What is left out, and why.
struct LeftOut {
  std::vector<std::string> names, problems;

  void add(const std::string& name, const std::string& problem) {
    names.push_back(name);
    problems.push_back(problem);
  }
  void tell() const {
    if (!names.empty())
      log::warning(concat(names.size(), names.size() == 1 ? " case was" : " cases were", " left out:"));
    for (size_t i = 0; i < names.size(); ++i) log::warning(concat("  ", names[i], ": ", problems[i]));
  }
};

struct Cases {
  std::vector<io::SourceFile> files;
  std::vector<std::string> names;
  std::vector<std::string> identifying;  // as io::Source
  LeftOut left_out;
};

Cases find_cases(const FeaturesArguments& arguments, const ModelCard& card) {
  const io::Source source = io::find_source(arguments.input, arguments.layout);
  log_remarks(source);
  std::vector<io::SourceRemark> refused = source.refused;
  Cases cases;
  cases.files = cases_for(card, source.files, source.channel_names, refused);
  cases.names = io::names_beside(cases.files, {}, source.identifying);
  cases.identifying = source.identifying;
  for (const io::SourceRemark& one : refused) cases.left_out.add(io::without(one.name, source.identifying), one.text);
  return cases;
}

// Case after case: while one goes through the encoder, the next is read.
Rows encode(const Encoding& encoding, bool per_case, Cases& cases) {
  Rows rows;
  ProgressBar bar(stderr_is_terminal());
  std::future<LoadedCase> next;
  const auto read_ahead = [&](size_t i) {
    if (i < cases.files.size())
      next = std::async(std::launch::async, load_case, std::cref(cases.files[i]), std::cref(encoding.image));
  };
  read_ahead(0);
  for (size_t i = 0; i < cases.files.size(); ++i) {
    const std::string& name = cases.names[i];
    const LoadedCase loaded = next.get();
    read_ahead(i + 1);
    try {
      if (loaded.problem) throw Error(*loaded.problem);
      rows.add(name, encoding.features_of(loaded.one), per_case);
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;
      cases.left_out.add(name, io::without(error.what(), cases.identifying));
    } catch (const std::exception& problem) {  // another may fit
      const std::optional<Error> memory = train::out_of_memory(problem);
      if (!memory) throw;
      cases.left_out.add(name, concat(memory->what(), "; lower --batch"));
    }
    bar.update({"features", static_cast<int64_t>(i) + 1, std::ssize(cases.files), {{"case", name}}});
  }
  bar.finish();
  return rows;
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

void write(const FeaturesArguments& arguments, const Encoding& encoding, const Rows& rows) {
  const bool per_case = arguments.per == "case";
  if (is_csv(arguments.output)) {
    write_file_atomically(arguments.output, csv_of(rows, per_case, encoding.num_features()));
    return;
  }
  weights::write_safetensors(arguments.output, {{"features", at::stack(rows.vectors)}},
                             {{"names", json_text(nlohmann::json(rows.names))},
                              {per_case ? "num_slices" : "slices", json_text(nlohmann::json(rows.slices))},
                              {"per", arguments.per},
                              {"model", encoding.encoder.name},
                              {"weights", encoding.weights.filename().string()},
                              {"vmae_version", version()}});
}

}  // namespace

ExitCode features(const FeaturesArguments& arguments) {
  check_output(arguments);
  const Encoding encoding = load_encoding(arguments);
  Cases cases = find_cases(arguments, encoding.encoder.card);
  log::info(concat("encoder of a ", encoding.encoder.name, ", ", encoding.num_features(), " features per ",
                   arguments.per, "; ", count_text(std::ssize(cases.files), "case"), ", on ", encoding.device.str()));

  const Rows rows = encode(encoding, arguments.per == "case", cases);
  cases.left_out.tell();
  if (rows.names.empty()) throw Error(ExitCode::data, "no case could be read", "see the reasons above");

  write(arguments, encoding, rows);
  log::info(
      concat(rows.names.size(), " x ", encoding.num_features(), " features written to ", arguments.output.string()));
  return cases.left_out.names.empty() ? ExitCode::ok : ExitCode::some_failed;
}

}  // namespace vmae::run
