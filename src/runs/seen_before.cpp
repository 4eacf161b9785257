#include "vmae/runs/seen_before.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/runs/run_record.h"
#include "vmae/sources/patients.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

// Among which names an image, or who it is of, can be looked up (patients as files say them, or
// hashed with one salt; files by their place; cases of one prepared dataset), and the name there.
using Identity = std::pair<std::string, std::string>;

Identity identity_of(const io::SourceFile& file) {
  std::error_code ignored;
  if (file.is_patient_known) return {"patients " + naming_of(file), file.patient};
  if (file.prepared_case >= 0) return {"cases of " + fs::weakly_canonical(file.path, ignored).string(), file.name};
  return {"files", fs::weakly_canonical(file.path, ignored).string()};
}

// Names of two kinds can be told from each other only where both are of files.
bool are_comparable(const std::string& a, const std::string& b) {
  const auto is_of_files = [](const std::string& among) { return among == "files" || among == "patients "; };
  return a == b || (is_of_files(a) && is_of_files(b));
}

// The run that weights lie in; empty: none.
fs::path run_of(const fs::path& weights) {
  std::error_code ignored;
  if (fs::is_directory(weights, ignored)) return fs::exists(weights / "splits.json", ignored) ? weights : fs::path();
  const fs::path run = fs::absolute(weights).lexically_normal().parent_path().parent_path();
  return fs::exists(run / "splits.json", ignored) ? run : fs::path();
}

nlohmann::json json_of(const fs::path& file) {
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return {};
  const std::string text = read_file(file);
  return is_deep_json(text) ? nlohmann::json() : nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::set<std::string> texts_of(const nlohmann::json& list) {
  std::set<std::string> texts;
  for (const auto& one : list.is_array() ? list : nlohmann::json::array()) {
    if (one.is_string()) texts.insert(one.get<std::string>());
  }
  return texts;
}

// Who trained, in a run and all that it began from. Returns why it is not known, or "".
std::string gather(const std::string& init, std::set<Identity>& trained) {
  std::set<fs::path> visited;
  for (fs::path weights = init; !weights.empty();) {
    const fs::path run = run_of(weights);
    if (run.empty()) return weights.string() + " is not in the folder of a run, which would say what it was trained on";
    if (!visited.insert(run).second) break;
    const nlohmann::json sources = json_of(run / "sources.json"), splits = json_of(run / "splits.json");
    if (!sources.is_object() || !sources.contains("data.train") || !splits.is_object() || !splits.contains("train"))
      return run.string() + " does not say what it was trained on (it is older)";
    const std::set<std::string> names = texts_of(splits["train"]);
    for (const std::string& source : texts_of(sources["data.train"])) {
      // of a large tree of DICOM this takes a while
      log::info(concat("model.init: listing what ", run.string(), " was trained on, ", source));
      try {
        for (const io::SourceFile& file : io::find_source(source).files) {
          if (names.contains(file.name)) trained.insert(identity_of(file));
        }
      } catch (const Error& error) {
        return concat("what ", run.string(), " was trained on can't be read any more: ", error.what());
      }
    }
    weights = sources.contains("model.init") && sources["model.init"].is_string()
                  ? sources["model.init"].get<std::string>()
                  : "";
  }
  return trained.empty() ? init + ": what it was trained on is not there any more" : "";
}

std::string parts_text(const std::vector<SeenPart>& parts) {
  std::vector<std::string> texts;
  for (const SeenPart& part : parts)
    texts.push_back(
        concat(part.num_seen, " of ", part.num_files, " ", part.part, part.num_files == 1 ? " file" : " files"));
  return join(texts, " and ");
}

}  // namespace

SeenBefore seen_before(const std::string& init, const SourceSplits& splits,
                       const std::vector<io::SourceFile>& external_test) {
  SeenBefore result;
  std::vector<io::SourceFile> val, test = splits.test;
  for (const auto& files : splits.val) val.insert(val.end(), files.begin(), files.end());
  test.insert(test.end(), external_test.begin(), external_test.end());
  if (init.empty() || (val.empty() && test.empty())) return result;
  std::set<Identity> trained;
  std::set<std::string> names_then;
  std::string unknown = gather(init, trained);
  for (const auto& [among, id] : trained) names_then.insert(among);
  for (const auto& [name, files] : {std::pair{"validation", &val}, {"test", &test}}) {
    SeenPart part{name, files->size(), 0};
    for (const io::SourceFile& file : *files) {
      const Identity who = identity_of(file);
      part.num_seen += trained.contains(who) ? 1 : 0;
      const bool is_comparable = std::all_of(names_then.begin(), names_then.end(),
                                             [&](const auto& then) { return are_comparable(who.first, then); });
      if (!is_comparable && unknown.empty())
        unknown =
            "patients and files are called differently there (prepared datasets with a salt of their own, or none)";
    }
    if (part.num_seen > 0) result.parts.push_back(part);
  }
  result.is_known = unknown.empty();
  if (!result.parts.empty())
    result.text = concat(
        parts_text(result.parts),
        " (or files of the same patients) were trained on by the run that the weights come from, model.init = ", init,
        ": results on them are too good");
  else if (!unknown.empty())
    result.text = concat("whether validation or test images were trained on before is not known: ", unknown);
  else
    result.text = concat(
        "no validation or test image, nor another of its patient, was trained on by the run that the weights come "
        "from, model.init = ",
        init);
  return result;
}

}  // namespace vmae::run
