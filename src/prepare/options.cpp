#include "vmae/core/config.h"
#include "vmae/prepare/prepare.h"

namespace vmae::run {

void describe(Options& options, PrepareOptions& prepare) {
  options.add(
      "layout", prepare.layout, "what the input is; auto: found out, and said before work begins (docs/data.md)",
      one_of({"auto", "manifest", "nnunet", "decathlon", "image_mask_folders", "dicom", "class_folders", "files"}));
  options.add(
      "names", prepare.names,
      "How cases are called. hash: by a salted hash of their path, so that nothing in a path can identify a patient. "
      "keep: by their path; only for images that are public or pseudonymised already.",
      one_of({"hash", "keep"}));
  options.add("salt_file", prepare.salt_file,
              "Secret that the hashes of patients and names are made with; whoever has it can test a guess. The same "
              "file gives the same patient the same key "
              "in every dataset. "
              "Empty: a file in the user's configuration folder, made at the first use.");
  options.add("modality", prepare.modality,
              "What images are whose files do not say it, as data.modality: CT, MR, PT (PET), US, DX (XR), XC, ... "
              "Empty: nothing is known of them; but where the "
              "values of volumes look like Hounsfield units, they are taken as CT, with a warning.");
  options.add("slice_axis", prepare.slice_axis,
              "the axis that slices of a volume are perpendicular to; auto: the one with the largest spacing in most "
              "volumes, the same for all; of DICOM "
              "series always z",
              one_of({"auto", "x", "y", "z"}));
  options.add("intensity", prepare.intensity,
              "native: numbers as in the file, lossless. The others change them to [0, 1] in the given bits, as "
              "data.intensity describes, and can't be undone.",
              one_of({"native", "auto", "window", "percentile", "minmax", "stored"}));
  options.add("window", prepare.window, "for intensity = window: [low, high] in the units of the file");
  options.add("percentiles", prepare.percentiles,
              "[low, high] in percent: for intensity = percentile, and noted per case for data.intensity = percentile "
              "in training, which must name the same",
              in_range(0, 100));
  options.add("bits", prepare.bits, "8 or 16, for an intensity that is not native", in_range(8, 16));
  options.add("resize", prepare.resize,
              "[height, width] in pixels of every slice; empty: as it is. Area averaging where it shrinks, linear "
              "where it grows, nearest for masks.",
              at_least(1));
  options.add("keep_aspect", prepare.keep_aspect,
              "true: the largest size inside prepare.resize with the aspect of the pixels; false: exactly that size");
  options.add("findings", prepare.findings,
              "columns of the manifest that are the labels, each 0, 1, or -1 or empty where not known, as in "
              "[Effusion, Edema]; or the one column of words "
              "that are the classes, as in [dx]. Empty: the column label or class, else all columns whose cells are "
              "such numbers; a note names them");
  options.add("structures", prepare.structures,
              "structures of DICOM RTSTRUCT or SEG, or segments of 3D Slicer, that become mask values 1, 2, ..., by "
              "name; the others are background. A map makes "
              "several structures one class: {tumour: [GTV_CT, GTV_PET], lung: Lung}. Empty: as the masks number them; "
              "where these differ, by name in the order "
              "in which they are met");
  options.add("duplicates", prepare.duplicates,
              "cases with exactly the pixels of an earlier one; both list them in duplicates.jsonl",
              one_of({"keep", "leave_out"}));
  options.add("shard_mb", prepare.shard_mb, "size of the source files that go into one shard, in MiB",
              in_range(1, 1 << 20));
  options.add("workers", prepare.workers,
              "threads; 0: as many as affinity and cgroup allow. The result does not depend on them.",
              in_range(0, 1024));
}

PrepareOptions options_of_dataset(const std::vector<std::string>& options) {
  PrepareConfig config;
  Options list;
  describe(list, config);
  for (const std::string& option : options) apply_override(option, list);
  return config.prepare;
}

void describe(Options& options, PrepareConfig& config) {
  options.section("prepare", "From files to a prepared dataset", config.prepare);
}

}  // namespace vmae::run
