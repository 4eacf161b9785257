#include "vmae/tools/export_weights.h"

#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/predict/model_file.h"
#include "vmae/weights/pth.h"
#include "vmae/weights/weights.h"

namespace vmae::run {

namespace fs = std::filesystem;

void export_weights(const fs::path& weights_path, const fs::path& output, bool overwrite) {
  std::error_code problem;
  if (fs::exists(output, problem) && !overwrite)
    throw Error(ExitCode::usage, concat("--output ", output.string(), " exists already"),
                "choose another name, or replace it with --overwrite");
  const fs::path path = find_weights(weights_path);
  const weights::TensorFile file = weights::read_weights(path);
  weights::Metadata metadata = file.metadata;
  metadata.erase("checksum");
  metadata.erase("state");
  if (output.extension() == ".pth" || output.extension() == ".pt") {
    weights::write_pth(output, file.tensors, metadata);
  } else if (output.extension() == ".safetensors") {
    weights::write_safetensors(output, file.tensors, metadata);
  } else {
    throw Error(ExitCode::usage, concat("--output ", output.string(), ": unknown kind of file"),
                "end its name in .safetensors or .pth");
  }
  log::info(concat(file.tensors.size(), " tensors of ", path.string(), " written to ", output.string()));
}

}  // namespace vmae::run
