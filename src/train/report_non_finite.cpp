#include "report_non_finite.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/json_text.h"

namespace vmae::train {

void stop_non_finite(const StepResult& result, int64_t step, int64_t epoch, const std::vector<int64_t>& indices,
                     const data::Dataset& dataset, const RunFolder* folder, World& world) {
  const bool is_loss = !std::isfinite(result.loss);
  const char* what = is_loss ? "loss" : "gradient";
  const double value = is_loss ? result.loss : result.grad_norm;
  auto own_ids = nlohmann::json::array();
  for (const int64_t index : indices) own_ids.push_back(dataset.id(index));
  std::vector<std::string> ids;
  for (const std::string& of_rank : world.gather(json_text(own_ids))) {
    for (const std::string id : nlohmann::json::parse(of_rank)) ids.push_back(id);
  }
  std::string where = "the samples of this step were: " + join(ids, ", ");
  if (folder != nullptr) {
    const auto file = folder->path() / "non_finite.json";
    const nlohmann::ordered_json report = {
        {"what", what}, {"value", concat(value)}, {"step", step}, {"epoch", epoch}, {"samples", ids}};
    write_file_atomically(file, json_text(report, 2) + "\n");
    where = concat("the samples of this step are listed in ", file.string());
  }
  throw Error(ExitCode::non_finite, concat("the ", what, " became ", value, " at step ", step, ", epoch ", epoch + 1),
              where +
                  "\n  look at these images, lower optim.lr, set optim.clip_grad_norm, or try train.precision=fp32; "
                  "the last checkpoint is unchanged");
}

}  // namespace vmae::train
