#include "vmae/weights/weights.h"

#include <torch/nn/module.h>
#include <torch/utils.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "formats.h"
#include "input_file.h"
#include "scalar_type.h"
#include "vmae/core/log.h"
#include "vmae/weights/npz.h"
#include "vmae/weights/pth.h"
#include "vmae/weights/unwrap.h"

namespace vmae::weights {
namespace {

// Functions of the geometry: a module computes them itself.
bool is_derived(std::string_view key) {
  const std::string_view last = key.substr(key.rfind('.') + 1);
  return last == "pos_embed" || last == "relative_position_index" || last == "attn_mask";
}

std::string shape_text(const at::Tensor& tensor) {
  std::vector<std::string> sizes;
  for (const int64_t size : tensor.sizes()) sizes.push_back(std::to_string(size));
  return "(" + join(sizes, ", ") + ")";
}

void append_state(const torch::nn::Module& module, const std::string& prefix, NamedTensors& state) {
  for (const auto& entry : module.named_parameters(/*recurse=*/false))
    state.emplace_back(prefix + entry.key(), entry.value().detach());
  for (const auto& entry : module.named_buffers(/*recurse=*/false))
    state.emplace_back(prefix + entry.key(), entry.value().detach());
  for (const auto& child : module.named_children()) append_state(*child.value(), prefix + child.key() + ".", state);
}

// What a checkpoint of ours holds besides the model.
bool is_of_training(const std::pair<std::string, at::Tensor>& entry) {
  return entry.first.starts_with("optimizer.") || entry.first.starts_with("state.");
}

// ", 12 missing (a.weight, b.weight, c.weight, d.weight, e.weight,
// ...)", and nothing if there are none. Derived entries do not matter.
std::string list_some(const std::vector<std::string>& keys, const std::string& label) {
  constexpr size_t kShown = 5;
  std::vector<std::string> matter;
  std::copy_if(keys.begin(), keys.end(), std::back_inserter(matter),
               [](const std::string& key) { return !is_derived(key); });
  if (matter.empty()) return "";
  const size_t count = matter.size();
  if (count > kShown) matter.resize(kShown);
  return concat("; ", count, " ", label, ": ", join(matter, ", "), count > kShown ? ", ..." : "");
}

}  // namespace

TensorFile read_weights(const std::filesystem::path& path) {
  const Format format = format_of(path);
  TensorFile file = format == Format::safetensors ? read_safetensors(path)
                    : format == Format::pth       ? read_pth(path)
                                                  : read_npz(path);
  if (format == Format::safetensors) std::erase_if(file.tensors, is_of_training);
  if (const std::string removed = unwrap(file, path); !removed.empty()) log::info(removed);
  return file;
}

TensorFile read_shapes(const std::filesystem::path& path) {
  StoredWeights stored = read_stored(path);
  TensorFile file{{}, std::move(stored.metadata)};
  for (const auto& [name, tensor] : stored.tensors)
    file.tensors.emplace_back(name,
                              at::empty(tensor.shape, at::TensorOptions(scalar_type(*tensor.dtype)).device(at::kMeta)));
  if (format_of(path) == Format::safetensors) std::erase_if(file.tensors, is_of_training);
  unwrap(file, path);
  return file;
}

NamedTensors state_dict(const torch::nn::Module& module) {
  NamedTensors state;
  append_state(module, "", state);
  return state;
}

LoadReport load_into(torch::nn::Module& module, const TensorFile& file) {
  const torch::NoGradGuard no_grad;
  std::unordered_map<std::string, const at::Tensor*> in_file;
  for (const auto& [key, tensor] : file.tensors) in_file[key] = &tensor;
  std::unordered_set<std::string> in_module;
  LoadReport report;
  for (auto& [key, tensor] : state_dict(module)) {
    in_module.insert(key);
    const auto found = in_file.find(key);
    if (found == in_file.end()) {
      report.fresh.push_back(key);
    } else if (is_derived(key)) {
      report.loaded.push_back(key);  // the module's own is right by construction
    } else if (found->second->sizes() != tensor.sizes()) {
      report.mismatched.push_back(concat(key, ": file ", shape_text(*found->second), ", model ", shape_text(tensor)));
    } else {
      tensor.copy_(*found->second);
      report.loaded.push_back(key);
    }
  }
  for (const auto& [key, tensor] : file.tensors) {
    if (!in_module.contains(key)) report.dropped.push_back(key);
  }
  return report;
}

void require_complete(const LoadReport& report, const std::filesystem::path& file) {
  const std::string problems =
      concat(list_some(report.fresh, "only in the model"), list_some(report.dropped, "only in the file"),
             list_some(report.mismatched, "of another shape"));
  if (problems.empty()) return;
  fail(file, concat("does not fit the model: ", report.loaded.size(), " entries fit", problems),
       "the model must be built as it was for these weights (depths, embed_dim, in_channels, classes)");
}

void require_finite(const TensorFile& file, const std::filesystem::path& path) {
  for (const auto& [key, tensor] : file.tensors) {
    if (!tensor.is_floating_point() || at::isfinite(tensor).all().item<bool>()) continue;
    throw Error(
        ExitCode::checkpoint,
        concat(path.string(), ": ", key, " holds NaN or infinite numbers: the training that wrote it went wrong"),
        "use an earlier checkpoint of that run, or train again with a lower learning rate");
  }
}

}  // namespace vmae::weights
