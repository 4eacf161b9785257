// `vmae inspect`: finds out what a path is.
#include "vmae/inspect/inspect.h"

#include <algorithm>
#include <ostream>
#include <set>

#include "kinds.h"
#include "vmae/cases/label_meaning.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/core/path_problem.h"
#include "vmae/core/text.h"
#include "vmae/image/picture.h"
#include "vmae/pictures/class_colours.h"
#include "vmae/prepared/prepared.h"
#include "vmae/runs/run_record.h"

namespace vmae::run {

namespace fs = std::filesystem;

namespace {

// Colours are those of the classes that training would make of the masks.
void write_sheet(const InspectArguments& arguments, Look look) {
  io::LabelFacts facts;
  for (const Tile& tile : look.tiles) {
    if (!tile.mask.empty())
      facts.add(io::count_labels(tile.mask.data(), tile.mask.size()), "the mask of tile " + tile.caption);
  }
  look.rules.values = arguments.label_values;
  look.rules.ignore = io::ignored_value(arguments.ignore_label, look.rules.ignore);
  look.rules.is_command_line = true;
  std::vector<std::string> names = look.rules.own_names;
  try {
    if (facts.num_masks > 0) {
      const io::LabelMeaning meaning = io::label_meaning(look.rules, facts);
      names = meaning.names;
      for (Tile& tile : look.tiles)
        std::transform(tile.mask.begin(), tile.mask.end(), tile.mask.begin(),
                       [&](uint8_t value) { return meaning.class_of[value]; });
    }
  } catch (const Error& error) {
    log::warning(concat("the masks of the contact sheet are shown by their values: ", error.what()));
  }
  std::set<uint8_t> labels;
  for (const Tile& tile : look.tiles) labels.insert(tile.mask.begin(), tile.mask.end());
  io::Image sheet = contact_sheet(look.tiles);
  draw_legend(sheet, legend_of(labels, names));
  write_file_atomically(arguments.png, io::encode_png(sheet));
}

bool is_nnunet_plan(const fs::path& path) {
  if (to_lower(path.extension().string()) != ".json" || !fs::is_regular_file(path)) return false;
  const std::string text = read_file(path);
  return text.find("\"plans_name\"") != std::string::npos && text.find("\"configurations\"") != std::string::npos;
}

bool holds_weights(const fs::path& path) {
  const std::string extension = to_lower(path.extension().string());
  return extension == ".safetensors" || extension == ".pth" || extension == ".pt" || extension == ".ckpt" ||
         extension == ".npz" || is_run(path) || !nnunet_checkpoints(path).empty();
}

// Throws Error where a path can't be looked at, or not so.
void check(const InspectArguments& arguments) {
  const fs::path& path = arguments.path;
  if (const std::string problem = path_problem(path); !problem.empty())
    throw Error(ExitCode::data, concat(path.string(), " ", problem));
  if (is_nnunet_plan(path))
    throw Error(ExitCode::usage, path.string() + " is a plan of nnU-Net",
                "print it: vmae plan --from " + shell_word(path.string()));
  const bool asks_for_images = !(arguments.png.empty() && arguments.npy.empty() && arguments.card.empty());
  if (asks_for_images && holds_weights(path))
    throw Error(ExitCode::usage, concat("--png, --npy and --card show images, but ", path.string(), " holds weights"));
}

}  // namespace

void inspect(const InspectArguments& arguments, std::ostream& out) {
  const fs::path& path = arguments.path;
  check(arguments);
  if (holds_weights(path)) return print(inspect_weights(path, arguments), arguments, out);
  const bool is_dataset = io::is_prepared(path);
  print(is_dataset ? inspect_prepared(path, arguments) : inspect_source(path, arguments), arguments, out);
  if (arguments.png.empty()) return;
  write_sheet(arguments, is_dataset ? look_at_prepared(path) : look_at_source(path));
  log::info("contact sheet written to " + arguments.png.string());
}

}  // namespace vmae::run
