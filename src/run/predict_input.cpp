#include "predict_input.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "vmae/core/log.h"
#include "vmae/io/case_names.h"

namespace vmae::run {

std::vector<std::string> names_beside(const std::vector<io::SourceFile>& cases, const std::vector<io::SourceFile>& beside,
                                      const std::vector<std::string>& identifying) {
  std::vector<const io::SourceFile*> order;
  for (const io::SourceFile& file : cases) order.push_back(&file);
  for (const io::SourceFile& file : beside) order.push_back(&file);
  std::vector<size_t> sorted(order.size());
  std::iota(sorted.begin(), sorted.end(), size_t{0});
  std::sort(sorted.begin(), sorted.end(),
            [&](size_t a, size_t b) { return std::tie(order[a]->name, order[a]->path) < std::tie(order[b]->name, order[b]->path); });
  std::vector<io::SourceFile> all;
  for (const size_t i : sorted) all.push_back(*order[i]);
  const std::vector<std::string> all_names = io::case_names(all, identifying);
  std::vector<std::string> names(cases.size());
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] < cases.size()) names[sorted[i]] = all_names[i];
  }
  return names;
}

void take_modality(std::vector<io::SourceFile>& cases, const std::string& trained) {
  if (trained.empty()) return;
  int64_t num_taken = 0, num_others = 0;
  for (io::SourceFile& file : cases) {
    if (file.prepared_case >= 0) continue;
    num_others += !file.modality.empty() && file.modality != trained ? 1 : 0;
    num_taken += file.modality.empty() ? 1 : 0;
    if (file.modality.empty()) file.modality = trained;
  }
  if (num_taken > 0) log::info(concat(num_taken, " images do not say their modality: taken as ", trained, ", which the model was trained on"));
  if (num_others > 0) log::warning(concat(num_others, " images are of another modality than ", trained, ", which the model was trained on"));
}

LoadedCase load_case(const io::SourceFile& file, const data::ImageOptions& image) {
  try {
    return {data::read_case(file, image), {}};
  } catch (const Error& error) {
    return {{}, error};
  } catch (const std::exception& error) {  // out of memory, say
    return {{}, Error(ExitCode::data, concat(file.path.string(), ": ", error.what()))};
  }
}

}  // namespace vmae::run
